"""Hashes of keys are kept once, and what they protect stays protected."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest

from include.ingest.kept_keys import _keep_others
from tests.ingest.loading import DAY, HEADER, counts, ingest, make_dataset, rows


def kept(warehouse: psycopg.Connection) -> list[int]:
    """Hashes that each run keeps, by the version of its file."""
    found = warehouse.execute(
        "SELECT sum(length(hashes)) / 8 FROM millrace.ingest_key k JOIN millrace.ingest_run r USING (run_id)"
        " GROUP BY r.version ORDER BY r.version"
    )
    return [int(number) for (number,) in found]


def export(ids: list[int], label: str = "same") -> str:
    return HEADER + "".join(f"{number},{label},1.00\n" for number in ids)


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_key_is_kept_once(warehouse: psycopg.Connection, tmp_path: Path, shuffled: bool) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=2000)
    ids = list(range(1000))
    for day in range(4):
        there = [number for number in ids if number % 100 != day]  # some leave the export, and come again
        if shuffled:
            random.Random(day).shuffle(there)
        ingest(warehouse, dataset, export(there), tmp_path, version=DAY + timedelta(days=day))
    # The first run only inserted. Each of the others keeps what the next one has not, the last one all.
    assert kept(warehouse) == [10, 10, 990]


def test_a_file_of_every_row_is_kept_alone(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=2000)
    for day in range(4):
        ingest(warehouse, dataset, export(list(range(300 + day))), tmp_path, version=DAY + timedelta(days=day))
    assert kept(warehouse) == [303]


def test_what_was_thinned_out_is_still_confirmed(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    for day in (0, 2, 3, 4):
        there = [1, 2, 10 + day] if day < 4 else [1, 14]
        ingest(warehouse, dataset, export(there), tmp_path, version=DAY + timedelta(days=day))
    assert kept(warehouse) == [1, 2, 2]
    late = ingest(warehouse, dataset, export([1, 2, 11], "late"), tmp_path, version=DAY + timedelta(days=1))
    assert counts(late) == {"read": 3, "inserted": 1, "superseded": 2}
    assert dict(rows(warehouse, "id, label")) == {1: "same", 2: "same", 10: "same", 11: "late", 12: "same", 13: "same",
                                                  14: "same"}  # fmt: skip


def test_what_both_hold_is_left_out() -> None:
    chance = np.random.default_rng(3)
    ours, new = (np.sort(chance.integers(0, 2**63, count, dtype=np.uint64)) for count in (5000, 50))
    theirs = np.sort(np.concatenate([ours[::3], new, new[:5]]))
    count = _keep_others(theirs, ours)
    assert theirs[:count].tolist() == sorted([*new.tolist(), *new[:5].tolist()])
    assert _keep_others(theirs[:0], ours) == _keep_others(ours.copy(), ours) == 0
