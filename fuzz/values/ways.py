"""The ways in which Millrace takes a cell: the general one, the short one, and a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from fuzz.values.cells import Kind
from include.ingest.cast import cast_column
from include.ingest.cast.rows import NO_LOSERS, Reader
from include.ingest.csv.records import Block
from include.ingest.dataset.definition import Dataset
from include.ingest.express import Express
from include.ingest.plan import Order, dialect_of
from include.ingest.run import run
from include.ingest.table.binary_copy import copy_rows, copying

MINE = sql.Identifier("pg_temp", "mine")
TARGET = sql.Identifier("public", "given")


def dataset_of(kind: Kind) -> Dataset:
    """A dataset of numbered cells, in which nothing is null."""
    value: dict[str, Any] = {"type": kind.name, "nullable": False}
    if kind.base == "timestamptz":
        value["timezone"] = kind.timezone
    return Dataset.model_validate(
        {
            "name": "given", "source": "x", "target": "public.given", "key": ["n"],
            "csv": {"header": False, "nulls": []}, "columns": {"n": {"type": "bigint"}, "v": value},
            "reject_limit": {"rows": None, "ratio": None}, "block_bytes": 1 << 16,
        }
    )  # fmt: skip


def _empty(connection: psycopg.Connection[Any], kind: Kind) -> None:
    connection.execute("DROP TABLE IF EXISTS pg_temp.mine")
    connection.execute(sql.SQL("CREATE TEMP TABLE mine (n bigint, v {})").format(sql.SQL(kind.name)))


def _records(cells: Sequence[bytes]) -> list[bytes]:
    return [b'%d,"%s"\n' % (number, cell.replace(b'"', b'""')) for number, cell in enumerate(cells, 1)]


def nothing(connection: psycopg.Connection[Any], kind: Kind, cells: Sequence[bytes], folder: Path) -> sql.Identifier:
    """Load none of the cells."""
    _empty(connection, kind)
    return MINE


def general(connection: psycopg.Connection[Any], kind: Kind, cells: Sequence[bytes], folder: Path) -> sql.Identifier:
    """Cast the column as a whole, and load what is not at fault."""
    dataset = dataset_of(kind)
    values, faults = cast_column(pa.array(cells, pa.binary()), dataset.columns["v"], [])
    good = np.ones(len(cells), dtype=bool)
    for fault in faults:
        good[fault.rows] = False
    numbers = pa.array(np.arange(1, len(cells) + 1))
    _empty(connection, kind)
    with connection.cursor() as cursor:
        copy_rows(cursor, MINE, pa.table({"n": numbers, "v": values}).filter(pa.array(good)), dataset)
    return MINE


def short(connection: psycopg.Connection[Any], kind: Kind, cells: Sequence[bytes], folder: Path) -> sql.Identifier:
    """Let the short way encode records of the cells, and load what it takes."""
    dataset, lines = dataset_of(kind), _records(cells)
    reader = Reader(dataset, dialect_of(dataset), 2, (0, 1))
    ends = np.cumsum([len(line) for line in lines])
    starts = np.append(0, ends[:-1])
    block = Block(b"".join(lines), starts, starts.copy(), np.arange(len(lines)))
    _empty(connection, kind)
    with connection.cursor() as cursor, copying(cursor, MINE, ["n", "v"]) as write:
        Express(reader).encode(block, NO_LOSERS, write)
    return MINE


def whole(connection: psycopg.Connection[Any], kind: Kind, cells: Sequence[bytes], folder: Path) -> sql.Identifier:
    """Ingest a file of the cells."""
    connection.execute("DROP TABLE IF EXISTS public.given")
    file = folder / "given.csv"
    file.write_bytes(b"".join(_records(cells)))
    version = datetime(2026, 1, 1, tzinfo=UTC)
    account = run(connection, dataset_of(kind), Order(uuid4(), file, version))
    if account.read != len(cells) or account.rejected != len(cells) - account.inserted:
        raise AssertionError(f"{len(cells)} cells, but {account}")
    return TARGET
