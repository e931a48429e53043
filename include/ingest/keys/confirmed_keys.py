"""What a table is known to hold, by version: the newest version that completed on it, and keys that files confirmed.

A run that leaves rows unchanged keeps what `held_hashes` gives for each key of its file, so that an older file that
comes later knows which rows it confirmed. These facts belong to the table. They stay when their run is cleared or fails
in its next try, and there is no time after which they go. A key is needed for its greatest version only: what two files
share is taken from the older one, at once where the newer file holds every row of the table, else when more keys are
kept than twice the rows. So they take 8 bytes for each row of the table, or 16, and at the most about twice that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

import numpy as np
import pyarrow as pa
from psycopg import Connection, Cursor, sql

from include.ingest import ledger
from include.ingest.cast.rows import Reader
from include.ingest.csv.records import Chunk
from include.ingest.dataset.definition import Dataset
from include.ingest.keys.ascending import distinct, is_among
from include.ingest.keys.key_hashes import held_hashes, held_kind, key_shape
from include.ingest.keys.key_spool import read_keyed
from include.ingest.source import Source
from include.ingest.source.local import THREADS
from include.ingest.table import staging
from include.ingest.table import target as targets

FEW_KEYS = 100_000  # that are not worth a look whether fewer would do
FETCH_ROWS = 50_000
PART_KEYS = 4 << 20  # kept in one value: PostgreSQL's largest is 1 GB


def newest_version(cursor: Cursor, oid: int) -> datetime | None:
    """The greatest version that completed on the table, None: none has."""
    row = cursor.execute("SELECT newest FROM millrace.held_version WHERE target_oid = %s", [oid]).fetchone()
    return row[0] if row else None


def note_version(cursor: Cursor, run_id: UUID, oid: int) -> None:
    """The run's version has completed on the table. Tables of that name that are gone are forgotten."""
    cursor.execute(
        "INSERT INTO millrace.held_version SELECT %s, target, version FROM millrace.ingest_run WHERE run_id = %s"
        " ON CONFLICT (target_oid) DO UPDATE SET newest = greatest(held_version.newest, excluded.newest)",
        [oid, run_id],
    )
    cursor.execute(
        "DELETE FROM millrace.held_version v USING millrace.ingest_run r WHERE r.run_id = %s AND v.target = r.target"
        " AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = v.target_oid)",
        [run_id],
    )


def keep_staged(cursor: Cursor, dataset: Dataset, run_id: UUID, oid: int) -> None:
    """Keep the keys of a run that loaded: those of its staged rows, and those that were known."""
    cursor.execute(
        sql.SQL(
            "INSERT INTO millrace.held_key"
            " SELECT %(oid)s, version, {last} + row_number() OVER (ORDER BY chunk), %(shape)s,"
            "  coalesce(c.hashes, '') || coalesce(k.hashes, '')"
            " FROM millrace.ingest_run, {chunks} c LEFT JOIN {known} k USING (chunk)"
            " WHERE run_id = %(run_id)s AND (c.hashes IS NOT NULL OR k.hashes IS NOT NULL)"
        ).format(last=_LAST_PART, chunks=staging.chunk_table(run_id), known=staging.known_table(run_id)),
        {"oid": oid, "shape": key_shape(dataset), "run_id": run_id},
    )


def keep_file(cursor: Cursor, dataset: Dataset, run_id: UUID, oid: int, hashes: Iterable[np.ndarray]) -> None:
    """Keep these keys of a run that had nothing to load."""
    statement = sql.SQL(
        "INSERT INTO millrace.held_key SELECT %(oid)s, version, {last} + 1, %(shape)s, %(hashes)b"
        " FROM millrace.ingest_run WHERE run_id = %(run_id)s"
    ).format(last=_LAST_PART)
    for part in hashes:
        values = {"oid": oid, "shape": key_shape(dataset), "run_id": run_id, "hashes": part.tobytes()}
        cursor.execute(statement, values)


# Another run of the version may have kept some: what any file of a version held, the version held.
_LAST_PART = sql.SQL(
    "(SELECT coalesce(max(part), 0) FROM millrace.held_key h WHERE h.target_oid = %(oid)s AND h.version ="
    " ingest_run.version)"
)


def file_hashes(
    source: Source, reader: Reader, chunks: Iterable[Chunk], secret: bytes, without: np.ndarray
) -> list[np.ndarray]:
    """What the ledger keeps of a file's keys, by chunk, without the records at these offsets."""

    def of_chunk(chunk: Chunk) -> np.ndarray:
        parts = [np.empty(0, held_kind(reader.dataset))]
        for found in read_keyed(source, reader, chunk):
            parts.append(found.held(~np.isin(found.block.offsets[found.numbers], without), secret))
        return np.concatenate(parts)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(of_chunk, chunks))


def thin_out(connection: Connection, dataset: Dataset, run_id: UUID) -> None:
    """Keep each key for its greatest version only; it only saves room, so it waits for nobody."""
    with connection.transaction(), connection.cursor() as cursor:
        # Not beside a merge into the table, which reads what is rewritten here. Its own run does it afterwards.
        if not targets.is_idle(cursor, dataset):
            return
        run = cursor.execute(
            "SELECT target_oid, version, target_rows = inserted + updated + unchanged + stale"
            " FROM millrace.ingest_run WHERE run_id = %s AND status = 'done'",
            [run_id],
        ).fetchone()
        if run is None:
            return
        oid, version, holds_all = run
        kept = cursor.execute(
            "SELECT version, sum(length(hashes))::bigint FROM millrace.held_key WHERE target_oid = %s"
            " AND key_shape = %s GROUP BY 1 ORDER BY 1 DESC",
            [oid, key_shape(dataset)],
        ).fetchall()
        if holds_all and any(one == version for one, _ in kept):
            cursor.execute(  # also what is kept of another key, which can't be compared
                "DELETE FROM millrace.held_key WHERE target_oid = %s"
                " AND (version < %s OR version = %s AND key_shape <> %s)",
                [oid, version, version, key_shape(dataset)],
            )
            kept = [pair for pair in kept if pair[0] >= version]
        total = sum(size for _, size in kept) // held_kind(dataset).itemsize
        if total > FEW_KEYS and total > 2 * _rows(cursor, dataset):
            _keep_newest(cursor, dataset, oid, [one for one, _ in kept])


def _rows(cursor: Cursor, dataset: Dataset) -> int:
    """About how many rows the target has."""
    name = targets.identifier(dataset)
    found = cursor.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::text::regclass", [name.as_string(cursor)]
    ).fetchone()
    if found and found[0] >= 0:
        return int(found[0])
    found = cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
    return int(found[0]) if found else 0


def _keep_newest(cursor: Cursor, dataset: Dataset, oid: int, versions: list[object]) -> None:
    """Leave each key with the newest of the versions (newest first), and none that the table has lost, if many are."""
    seen, there = np.empty(0, held_kind(dataset)), None
    for version in versions:
        sizes, fresh = _not_among(_hashes(cursor, dataset, oid, [version]), seen)
        if there is None and len(seen) + sum(map(len, fresh)) > 2 * _rows(cursor, dataset):
            there = _table_hashes(cursor, dataset, ledger.secret_of(cursor, dataset))
        if there is not None:
            fresh = [part[is_among(part, there)] for part in fresh]
        together = distinct([seen, *fresh])
        if len(together) < len(seen) + sum(map(len, fresh)):  # two files of one version
            fresh = [distinct(fresh)]
        # The newest version mostly stays as it is, and of the others next to nothing is left: little is written.
        if sizes != [len(part) for part in fresh]:
            _keep_only(cursor, dataset, oid, version, np.concatenate(fresh))
        seen = together


def _not_among(parts: Iterable[np.ndarray], seen: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """How many keys each part holds, and those that are not in `seen`, ascending."""

    def of_part(part: np.ndarray) -> tuple[int, np.ndarray]:
        mine = distinct([part])
        return len(part), mine[~is_among(mine, seen)] if len(seen) else mine

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(of_part, parts))
    return [size for size, _ in found], [fresh for _, fresh in found]


def _keep_only(cursor: Cursor, dataset: Dataset, oid: int, version: object, hashes: np.ndarray) -> None:
    place = {"oid": oid, "version": version, "shape": key_shape(dataset)}
    cursor.execute(
        "DELETE FROM millrace.held_key WHERE target_oid = %(oid)s AND version = %(version)s AND key_shape = %(shape)s",
        place,
    )
    statement = sql.SQL(
        "INSERT INTO millrace.held_key SELECT %(oid)s, version, {last} + 1, %(shape)s, %(hashes)b"
        " FROM (SELECT %(version)s::timestamptz AS version) AS ingest_run"
    ).format(last=_LAST_PART)
    for start in range(0, len(hashes), PART_KEYS):
        cursor.execute(statement, {**place, "hashes": hashes[start : start + PART_KEYS].tobytes()})


def newer_hashes(cursor: Cursor, dataset: Dataset, oid: int, version: object) -> tuple[np.ndarray, list[str]]:
    """All keys (ascending) that files of newer versions confirmed, and other shapes of a key that some are kept in."""
    found = cursor.execute(
        "SELECT version, array_agg(DISTINCT key_shape) FROM millrace.held_key WHERE target_oid = %s AND version > %s"
        " GROUP BY 1",
        [oid, version],
    ).fetchall()
    others = sorted({shape for _, shapes in found for shape in shapes} - {key_shape(dataset)})
    empty = np.empty(0, held_kind(dataset))
    return distinct([empty, *_hashes(cursor, dataset, oid, [one for one, _ in found])]), others


def held_at(cursor: Cursor, dataset: Dataset, oid: int, version: object) -> np.ndarray:
    """All keys (ascending) that files of this very version confirmed."""
    return distinct([np.empty(0, held_kind(dataset)), *_hashes(cursor, dataset, oid, [version])])


def _hashes(cursor: Cursor, dataset: Dataset, oid: int, versions: list[object]) -> Iterator[np.ndarray]:
    """The parts of these versions, one in memory at a time."""
    which = "target_oid = %s AND version = %s AND key_shape = %s"
    for version in versions:
        place = [oid, version, key_shape(dataset)]
        found = cursor.execute(f"SELECT part FROM millrace.held_key WHERE {which}", place).fetchall()
        for (part,) in found:
            query = f"SELECT hashes FROM millrace.held_key WHERE {which} AND part = %s"
            row = cursor.connection.execute(query, [*place, part], binary=True).fetchone()
            yield np.frombuffer(row[0] if row else b"", held_kind(dataset))


def _table_hashes(cursor: Cursor, dataset: Dataset, secret: bytes) -> np.ndarray:
    """What the ledger keeps of the target's own keys, ascending."""
    names = sql.SQL(", ").join(map(sql.Identifier, dataset.key))
    query = sql.SQL("SELECT {} FROM {}").format(names, targets.identifier(dataset))
    parts = [hashes for _, hashes in read_table_keys(cursor, dataset, query, secret)]
    return distinct([np.empty(0, held_kind(dataset)), *parts])


def read_table_keys(
    cursor: Cursor, dataset: Dataset, query: sql.Composed, secret: bytes
) -> Iterator[tuple[list[tuple[object, ...]], np.ndarray]]:
    """The rows of a query that ends with the key columns, a batch at a time, each with what the ledger keeps of it."""
    kinds = [dataset.columns[name].sql_type.arrow for name in dataset.key]
    with cursor.connection.cursor("millrace_keys") as found:
        found.execute(query)
        while batch := found.fetchmany(FETCH_ROWS):
            columns = list(zip(*(row[-len(kinds) :] for row in batch), strict=True))
            arrays = [_array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            table = pa.table(arrays, names=dataset.key)
            yield [row[: -len(kinds)] for row in batch], held_hashes(table, dataset, secret)


def _array(values: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([value.bytes for value in values], kind)  # type: ignore[attr-defined]  # uuids
    return pa.array(values, kind)
