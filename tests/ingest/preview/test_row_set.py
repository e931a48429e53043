"""A set of rows holds what a set of Python's holds, and tells addresses as PostgreSQL prints them."""

from __future__ import annotations

import random
from typing import Any

import psycopg

from include.ingest.preview.row_set import PLACE, PLACE_BITS, RowSet


def test_it_counts_as_a_set_does(warehouse: psycopg.Connection[Any]) -> None:
    chance = random.Random(1)
    with warehouse.cursor() as cursor:
        rows, model = RowSet(cursor), set()
    assert len(rows) == 0
    for _ in range(50):
        table = chance.randrange(3)
        places = [
            (chance.randrange(400) << PLACE_BITS) + chance.randrange(1, 292) for _ in range(chance.randrange(400))
        ]
        rows.add(table, places)
        model |= {(table, place) for place in places}
        assert len(rows) == len(model)


def test_every_row_of_a_table_has_a_place_of_its_own(warehouse: psycopg.Connection[Any]) -> None:
    warehouse.execute("CREATE TABLE narrow AS SELECT FROM generate_series(1, 5000)")  # a page has no room for more
    with warehouse.cursor() as cursor:
        rows = RowSet(cursor)
        places = [place for (place,) in cursor.execute(f"SELECT {PLACE} FROM narrow t").fetchall()]
        rows.add(1, places)
    assert len(rows) == 5000
    row = warehouse.execute("SELECT max((ctid::text::point)[1]) FROM narrow").fetchone()
    assert row is not None
    assert row[0] > 200
