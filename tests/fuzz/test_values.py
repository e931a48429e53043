"""PostgreSQL judges values: a few batches here, as many as one likes by `./run fuzz --only values`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fuzz import values
from fuzz.judging import Checked
from fuzz.values import Values, open_judge
from fuzz.values.cells import KINDS, Kind, make_cells
from fuzz.values.strictness import SENTENCES
from include.ingest.cast import moments, numbers
from include.ingest.dataset import sql_types
from include.ingest.express import kernel
from stack.postgres import PostgresServer

DOCS = Path(__file__).parents[2] / "docs" / "fuzz.md"


@pytest.fixture
def judge(postgres: PostgresServer, tmp_path: Path) -> Iterator[Values]:
    found = open_judge(postgres.dsn(), tmp_path)
    yield found
    found.close()


def test_values_are_what_postgresql_makes_of_them(judge: Values) -> None:
    checked = Checked()
    for number, kind in enumerate(KINDS):
        judge.check_column(kind, make_cells(kind, 60, Random(number)), number % 16, checked)
    assert [difference.case for difference in checked.differences] == []
    assert checked.cases >= 60 * len(KINDS)


def test_a_seed_makes_one_batch(judge: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "COLUMNS", 1)
    one, again = judge.check(11), judge.check(11)
    assert (one.cases, one.differences, one.explained) == (again.cases, [], again.explained)


def _none(*_: Any) -> np.ndarray:
    return np.empty(0, np.int64)


@pytest.mark.parametrize(
    ("module", "name", "fault", "kind", "cell"),
    [
        (moments, "_wide_offsets", _none, Kind("timestamptz"), "16"),
        (numbers, "_hexadecimal", _none, Kind("bigint"), "0x"),
        (numbers, "_overflowing", lambda *_: _none(), Kind("numeric(38,10)"), ""),
        (sql_types, "_check_escapes", _none, Kind("jsonb"), "u"),
    ],
)
def test_a_planted_fault_is_noticed_and_shrunk(
    judge: Values, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, fault: Callable[..., Any],
    kind: Kind, cell: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, name, fault)
    checked, seed = Checked(), 0
    while not checked.differences and checked.cases < 20_000:
        seed += 1
        judge.check_column(kind, make_cells(kind, 200, Random(seed)), seed, checked)
    case = checked.differences[0].case
    assert case.startswith(kind.name)
    assert cell in case
    assert len(case) < 600


def test_the_short_way_is_judged_too(judge: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = kernel.encode_records

    def shifted(*given: Any) -> int:
        used = encode(*given)
        given[12][used - 1] ^= 1  # the last bit of the last value
        return int(used)

    monkeypatch.setattr(kernel, "encode_records", shifted)
    checked = Checked()
    judge.check_column(Kind("date"), [b"2026-02-28"] * 6, 1, checked)
    assert "the short way" in checked.differences[0].case


def test_each_sentence_stands_in_the_docs() -> None:
    text = DOCS.read_text()
    assert [name for name in SENTENCES if f"`{name}`" not in text] == []
