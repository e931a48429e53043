"""The dataset's own `clean` hook: typed frames in, checked rows out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from include.ingest.errors import HookError
from tests.ingest.loading import ITEMS, counts, ingest, make_dataset, rejected, rows

DATA = 'id,label,price\n1,"o\nne",1\n2,two,2\n3,three,3\n4,four,4\n2,zwei,5\n'


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    assert isinstance(frame["price"].dtype, pd.ArrowDtype)
    frame["label"] = frame["label"].str.upper()
    frame.loc[frame["id"] == 4, "price"] = -frame["price"]
    return frame[frame["id"] != 3].iloc[::-1]


def renumbering(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index(drop=True)


def narrowing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["id"]]


def raising(frame: pd.DataFrame) -> pd.DataFrame:
    raise KeyError("nothing")


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
def test_the_hook_changes_and_drops_rows(warehouse: psycopg.Connection, tmp_path: Path, chunk_bytes: int) -> None:
    dataset = make_dataset(tmp_path, ITEMS + f"clean: {__name__}:tidy\n", chunk_bytes=chunk_bytes)
    account = ingest(warehouse, dataset, DATA, tmp_path)
    assert counts(account) == {"read": 5, "inserted": 2, "superseded": 1, "rejected": 2}
    assert rows(warehouse, "id, label") == [(1, "O\nNE"), (2, "ZWEI")]
    assert rejected(warehouse, account) == [(5, None, None, "clean"), (6, "price", "-4.00", "min")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("renumbering", "must keep the index"),
        ("narrowing", "lost the columns label, price"),
        ("raising", "raised KeyError at lines 2 to 7"),
        ("absent", "can't be loaded"),
    ],
)
def test_a_useless_hook_is_told_apart(warehouse: psycopg.Connection, tmp_path: Path, name: str, words: str) -> None:
    dataset = make_dataset(tmp_path, ITEMS + f"clean: {__name__}:{name}\n")
    with pytest.raises(HookError, match=words):
        ingest(warehouse, dataset, DATA, tmp_path)


KINDS = """
name: kinds
source: x
target: public.kinds
mode: append
columns:
  text: {type: text, nullable: true}
  mark: {type: uuid, nullable: true}
  data: {type: bytea, nullable: true}
  day: {type: date, nullable: true}
reject_limit: {rows: null, ratio: null}
"""


def test_a_value_at_fault_after_the_hook_is_shown_as_postgresql_prints_it(
    warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    allowed = "{type: uuid, nullable: true, allowed: [61616161-6161-6161-6161-616161616161]}"
    short = "{type: bytea, nullable: true, max_length: 1}"
    text = KINDS.replace("mark: {type: uuid, nullable: true}", f"mark: {allowed}")
    text = text.replace("data: {type: bytea, nullable: true}", f"data: {short}")
    dataset = make_dataset(tmp_path, text + f"clean: {__name__}:swapping\n")
    account = ingest(warehouse, dataset, DATA_OF_KINDS, tmp_path)
    assert rejected(warehouse, account) == [
        (2, "mark", "ff000000-0000-0000-0000-000000000000", "allowed"),
        (3, "data", r"\xff00", "length"),
        (4, "text", "x\\x00", "nul"),
        (5, "day", "10000-01-01", "range"),
    ]


DATA_OF_KINDS = "text,mark,data,day\nmark,,,\ndata,,,\nnul,,,\nday,,,\ngood,,,\n"


def swapping(frame: pd.DataFrame) -> pd.DataFrame:
    def column(name: str, values: list[Any]) -> pd.Series:
        return pd.Series(values, dtype=frame[name].dtype, index=frame.index)

    kinds = frame["text"].tolist()
    frame["mark"] = column("mark", [b"\xff" + bytes(15) if kind == "mark" else None for kind in kinds])
    frame["data"] = column("data", [b"\xff\0" if kind == "data" else None for kind in kinds])
    frame["text"] = column("text", ["x\0" if kind == "nul" else kind for kind in kinds])
    days = pa.array([2_932_897 if kind == "day" else None for kind in kinds], pa.int32()).view(pa.date32())
    frame["day"] = pd.Series(pd.arrays.ArrowExtensionArray(days), index=frame.index)
    return frame
