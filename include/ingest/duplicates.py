"""Repeated keys within one file: found by hash, compared exactly, and settled before the merge.

Every chunk left the hash, place and length of each row it staged. Rows whose hash occurs twice are candidates:
a few per cent. They are read from the file again and compared by their real keys. All copies of a key that is
really repeated leave staging, and the one that wins by the dataset's policy is staged again.
The order is the order in the file, so it does not matter which chunk was loaded first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Cursor, sql

from include.ingest import ledger, staging
from include.ingest.errors import AccountMismatch
from include.ingest.load import copy_rows
from include.ingest.plan import Plan
from include.ingest.records import Block, Chunk
from include.ingest.rows import Reader, Reject, Rows, read_rows, readable

PASS_ROWS = 16_000_000  # hashes sorted at a time: 128 MB
BATCH_ROWS = 50_000  # candidates parsed at a time
PLACE = "#"  # the candidates' number; no column of a dataset can have this name


@dataclass(frozen=True)
class Settled:
    """What became of the rows with repeated keys."""

    superseded: int
    rejected: int


def settle(cursor: Cursor, plan: Plan, reader: Reader) -> Settled:
    """Leave one row a key in staging, or none where the policy is `reject`."""
    if not reader.dataset.key:
        return Settled(0, 0)
    removed = kept = 0
    for places in _repeated(cursor, plan):
        repeated = _compare(plan, reader, places)
        removed += _remove(cursor, plan, reader, repeated)
        if reader.dataset.duplicates == "reject":
            _reject(cursor, plan, reader, repeated)
        else:
            kept += _restore(cursor, plan, reader, repeated)
    if reader.dataset.duplicates == "reject":
        return Settled(0, removed)
    return Settled(removed - kept, 0)


@dataclass(frozen=True)
class _Places:
    """Records in the file by absolute byte offset, ascending."""

    offsets: np.ndarray
    lengths: np.ndarray
    lines: np.ndarray
    chunks: np.ndarray

    def take(self, rows: np.ndarray) -> _Places:
        return _Places(self.offsets[rows], self.lengths[rows], self.lines[rows], self.chunks[rows])


@dataclass(frozen=True)
class _Repeated:
    """The distinct keys that are repeated, the winner of each, and all its copies."""

    keys: pa.Table
    winners: _Places
    copies: _Places
    first_lines: np.ndarray  # of each copy: where the key occurs first


def _repeated(cursor: Cursor, plan: Plan) -> Iterator[_Places]:
    """The candidates, in passes over the hash space that each fit in memory."""
    table = staging.chunk_table(plan.run_id)
    query = sql.SQL("SELECT coalesce(sum(octet_length(hashes)), 0) / 8 FROM {}").format(table)
    rows = int(cursor.execute(query).fetchone()[0])  # type: ignore[index]
    passes = rows // PASS_ROWS + 1
    for number in range(passes if rows else 0):
        ordered = np.sort(np.concatenate([_share(cursor, plan, chunk, number, passes) for chunk in plan.chunks]))
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if len(twice):
            yield _places(cursor, plan, twice)


def _share(cursor: Cursor, plan: Plan, chunk: Chunk, number: int, passes: int) -> np.ndarray:
    hashes = _blob(cursor, plan, chunk, "hashes", np.uint64)
    return hashes if passes == 1 else hashes[hashes % np.uint64(passes) == np.uint64(number)]


def _places(cursor: Cursor, plan: Plan, twice: np.ndarray) -> _Places:
    found = []
    for chunk in plan.chunks:
        rows = np.flatnonzero(_member(_blob(cursor, plan, chunk, "hashes", np.uint64), twice))
        if len(rows):
            offsets, lengths = (
                _blob(cursor, plan, chunk, name, np.uint32)[rows].astype(np.int64) for name in ("offsets", "lengths")
            )
            lines = _blob(cursor, plan, chunk, "lines", np.uint32).astype(np.int64)
            lines = lines[rows] if len(lines) else np.zeros_like(offsets)
            numbers = np.full(len(rows), chunk.number)
            found.append((offsets + chunk.offset, lengths, lines + chunk.first_line, numbers))
    places = _Places(*(np.concatenate(part) for part in zip(*found, strict=True)))
    return places.take(np.argsort(places.offsets, kind="stable"))


def _member(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which values occur in `ordered`; a small bit table saves most of the searches."""
    bits = np.zeros(1 << 22, dtype=bool)
    bits[ordered & np.uint64(0x3FFFFF)] = True
    hit = np.flatnonzero(bits[values & np.uint64(0x3FFFFF)])
    where = np.minimum(np.searchsorted(ordered, values[hit]), len(ordered) - 1)
    result = np.zeros(len(values), dtype=bool)
    result[hit[ordered[where] == values[hit]]] = True
    return result


def _blob(cursor: Cursor, plan: Plan, chunk: Chunk, column: str, kind: type) -> np.ndarray:
    query = sql.SQL("SELECT {} FROM {} WHERE chunk = %s").format(
        sql.Identifier(column), staging.chunk_table(plan.run_id)
    )
    row = cursor.connection.execute(query, [chunk.number], binary=True).fetchone()
    assert row is not None
    return np.frombuffer(row[0], dtype=kind)


def _read(plan: Plan, reader: Reader, places: _Places) -> Iterator[tuple[slice, Rows]]:
    """Read records from the file again, parsed as the load did, in the order of `places`."""
    with Path(plan.path).open("rb") as file:
        for start in range(0, len(places.offsets), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            records = [
                os.pread(file.fileno(), length, offset)
                for offset, length in zip(places.offsets[part].tolist(), places.lengths[part].tolist(), strict=True)
            ]
            sizes = np.array([len(record) for record in records], dtype=np.int64)
            number = np.arange(len(records), dtype=np.int64)  # stands in for the line: the order to restore
            rows = read_rows(Block(b"".join(records), 0, np.cumsum(sizes) - sizes, number), reader)
            if rows.table.num_rows != len(records):
                raise AccountMismatch(f"{plan.path}: a record read again gave another result; is the hook random?")
            yield part, replace(rows, table=rows.table.take(pa.array(np.argsort(rows.lines))))


def _compare(plan: Plan, reader: Reader, places: _Places) -> _Repeated:
    """Sort the candidates by their real key, then by place; equal neighbours are copies of one key."""
    key = reader.dataset.key
    table = pa.concat_tables(rows.table.select(key) for _, rows in _read(plan, reader, places)).combine_chunks()
    table = table.append_column(PLACE, pa.array(np.arange(len(places.offsets))))
    table = table.take(pc.sort_indices(table, [(name, "ascending") for name in [*key, PLACE]]))
    same = np.ones(table.num_rows - 1, dtype=bool)
    for name in key:
        same &= pc.equal(table[name].slice(1), table[name].slice(0, table.num_rows - 1)).to_numpy()
    number = table[PLACE].to_numpy()
    follows = np.append(False, same)  # the row has the same key as the one before it
    goes_on = np.append(same, False)  # the row has the same key as the one after it
    first = np.flatnonzero(~follows & goes_on)
    last = np.flatnonzero(follows & ~goes_on)
    copies = np.flatnonzero(follows | goes_on)
    winners = number[last if reader.dataset.duplicates == "last" else first]
    opening = number[np.repeat(first, last - first + 1)]
    in_file_order = np.argsort(number[copies])
    return _Repeated(
        table.select(key).take(pa.array(first)),
        places.take(np.sort(winners)),
        places.take(number[copies][in_file_order]),
        places.lines[opening][in_file_order],
    )


def _remove(cursor: Cursor, plan: Plan, reader: Reader, repeated: _Repeated) -> int:
    """Delete all copies of the repeated keys from staging: find them in parallel, then go to each by its address."""
    key = reader.dataset.key
    rows = staging.rows_table(plan.run_id)
    repeats = staging.key_table(plan.run_id)
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    cursor.execute(sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT {} FROM {} WHERE false").format(repeats, names, rows))
    copy_rows(cursor, repeats, repeated.keys.select(key), reader)
    cursor.execute(sql.SQL("ANALYZE {}").format(repeats))
    same = sql.SQL(" AND ").join(sql.SQL("s.{0} = r.{0}").format(sql.Identifier(name)) for name in key)
    cursor.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE repeated_row ON COMMIT DROP AS SELECT s.ctid AS at FROM {} s JOIN {} r ON {}"
        ).format(rows, repeats, same)
    )
    cursor.execute(
        sql.SQL("DELETE FROM {} WHERE ctid = ANY (ARRAY(SELECT at FROM repeated_row ORDER BY at))").format(rows)
    )
    removed = cursor.rowcount
    cursor.execute(sql.SQL("DROP TABLE repeated_row, {}").format(repeats))
    if removed != len(repeated.copies.offsets):
        raise AccountMismatch(
            f"run {plan.run_id}: {removed} staged rows have repeated keys, the file has {len(repeated.copies.offsets)}"
        )
    return removed


def _restore(cursor: Cursor, plan: Plan, reader: Reader, repeated: _Repeated) -> int:
    """Stage the winners again."""
    total = 0
    for _, rows in _read(plan, reader, repeated.winners):
        copy_rows(cursor, staging.rows_table(plan.run_id), rows.table, reader)
        total += rows.table.num_rows
    return total


def _reject(cursor: Cursor, plan: Plan, reader: Reader, repeated: _Repeated) -> None:
    """Record every copy as rejected, naming the line where the key stands first."""
    key = reader.dataset.key
    copies = repeated.copies
    for part, rows in _read(plan, reader, copies):
        values = zip(*(rows.table[name].cast(pa.string()).to_pylist() for name in key), strict=True)
        rejects = [
            Reject(
                line, offset, ", ".join(key), ", ".join(cells), "duplicate", f"the key is first at line {first}", raw
            )
            for line, offset, first, cells, raw in zip(
                copies.lines[part].tolist(),
                copies.offsets[part].tolist(),
                repeated.first_lines[part].tolist(),
                values,
                _raw(plan, copies, part),
                strict=True,
            )
        ]
        for chunk in np.unique(copies.chunks[part]).tolist():
            mine = np.flatnonzero(copies.chunks[part] == chunk)
            ledger.save_rejects(cursor, plan.run_id, plan.path, chunk, [rejects[row] for row in mine])


def _raw(plan: Plan, places: _Places, part: slice) -> list[str]:
    with Path(plan.path).open("rb") as file:
        return [
            readable(os.pread(file.fileno(), length, offset).rstrip(b"\r\n"))
            for offset, length in zip(places.offsets[part].tolist(), places.lengths[part].tolist(), strict=True)
        ]
