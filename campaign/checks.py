"""What must hold after each round, whatever struck. Each check returns sentences about what does not."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psycopg
from psycopg.rows import dict_row

from campaign.cargo import CHECKSUM, Table
from campaign.ground import IMAGES_DAG, Ground
from campaign.round import Round, Run
from include.images.store import FolderStore
from stack.cluster.topology import Place
from stack.errors import StackError

IMAGE_SECONDS = 300.0
QUIET_SECONDS = 120.0
LEFT_SECONDS = 20.0  # for what is about to end
FILES_SECONDS = 10.0
OLD_SECONDS = 2 * 86_400.0
KNOWN = ("memory", "work", "pymp-")  # the last: an empty folder of multiprocessing
LEDGER = """
SELECT run_id, status, read, inserted, updated, unchanged, superseded, rejected
FROM millrace.ingest_run WHERE airflow_run LIKE %s
"""
REJECTED = "SELECT count(*) FROM millrace.rejected_row WHERE run_id = %s"
LEFT_TABLES = """
SELECT schemaname || '.' || tablename FROM pg_tables
WHERE schemaname = 'millrace_staging' OR (schemaname = 'public' AND tablename <> 'campaign')
"""
LEFT_LOCKS = """
SELECT format('advisory lock %s/%s of %s', classid, objid, application_name)
FROM pg_locks INNER JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LEFT_SESSIONS = """
SELECT format('session %s %s since %s: %s', pid, state, xact_start, left(query, 80)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '5 seconds'
"""
LEFT_RUNS = """
SELECT format('run %s is still %s', airflow_run, status) FROM millrace.ingest_run
WHERE status IN ('waiting', 'planned')
"""


def check(round_: Round, table: Table) -> list[str]:
    """All checks; `table` is what the target must hold."""
    problems = [*_pictures(round_), *_quiet(round_.ground)]
    with round_.ground.warehouse() as connection:
        problems += check_warehouse(connection, round_.runs, table)
    return [*problems, *check_files(round_.ground.place)]


def check_warehouse(connection: psycopg.Connection, runs: Sequence[Run], table: Table) -> Iterator[str]:
    """The target, the accounts, and what may not be left in the database."""
    found = connection.execute(CHECKSUM).fetchone()
    if found is None or found[0] != table.checksum():
        yield "the target's checksum is not the reference's"
    for run in runs:
        yield from _account(connection, run)
    yield from _soon_none(connection, LEFT_TABLES, "is left")
    for query in (LEFT_LOCKS, LEFT_SESSIONS, LEFT_RUNS):
        yield from _soon_none(connection, query, "")


def _account(connection: psycopg.Connection, run: Run) -> Iterator[str]:
    rows = connection.cursor(row_factory=dict_row).execute(LEDGER, [f"%{run.run_id}%"]).fetchall()
    if [row["status"] for row in rows] != ["done"]:
        yield f"{run.run_id} is {[row['status'] for row in rows]} in the ledger"
        return
    (row,) = rows
    put = sum(row[name] for name in ("inserted", "updated", "unchanged"))
    found = (row["read"], row["rejected"], put + row["superseded"])
    if found != (run.day.read, run.day.rejected, run.day.read - run.day.rejected):
        yield f"the account of {run.run_id} does not balance: {row}"
    kept = connection.execute(REJECTED, [row["run_id"]]).fetchone()
    if kept is None or kept[0] != run.day.rejected:
        yield f"{run.run_id} keeps {kept} rejected rows of {run.day.rejected}"


def _soon_none(connection: psycopg.Connection, query: str, what: str) -> Iterator[str]:
    """What is there still after some seconds, as something may be about to end."""
    deadline = time.monotonic() + LEFT_SECONDS
    while rows := connection.execute(query).fetchall():
        if time.monotonic() > deadline:
            yield from (f"{row[0]} {what}".strip() for row in rows)
            return
        time.sleep(0.5)


def _pictures(round_: Round) -> Iterator[str]:
    """Each picture that was answered 202 is done, with renditions that can be fetched, or failed with a reason."""
    ground = round_.ground
    deadline = time.monotonic() + IMAGE_SECONDS
    for picture in round_.pictures:
        while True:
            found = ground.state_of(picture)
            if found["state"] in ("done", "failed"):
                break
            if time.monotonic() > deadline:
                yield f"picture {picture} is {found['state']} after {IMAGE_SECONDS:.0f} s"
                break
            time.sleep(0.5)
        if found["state"] == "failed" and not found["reason"]:
            yield f"picture {picture} failed without a reason"
        if found["state"] == "done":
            yield from _renditions(ground, picture, found["renditions"])


def _renditions(ground: Ground, picture: str, renditions: list[dict[str, object]]) -> Iterator[str]:
    if not renditions:
        yield f"picture {picture} is done and has no rendition"
    for one in renditions:
        try:
            size = ground.fetch_bytes(str(one["url"]))
        except (StackError, httpx.HTTPError) as fault:
            yield f"{one['url']} of picture {picture} cannot be had: {fault}"
            continue
        if size != one["bytes"]:
            yield f"{one['url']} of picture {picture} has {size} bytes, not {one['bytes']}"


def _quiet(ground: Ground) -> Iterator[str]:
    """No run of the pictures' DAG goes on for ever."""

    def running() -> list[str]:
        found = ground.ask(lambda: ground.api.get(f"dags/{IMAGES_DAG}/dagRuns", limit=50, order_by="-run_after"))
        return [f"{one['dag_run_id']} is {one['state']}" for one in found["dag_runs"]
                if one["state"] not in ("success", "failed")]  # fmt: skip

    deadline = time.monotonic() + QUIET_SECONDS
    while left := running():
        if time.monotonic() > deadline:
            yield from left
            return
        time.sleep(1)


def check_files(place: Place) -> Iterator[str]:
    """Nothing temporary is left, but what killed processes were writing: that goes once it is a day old.

    It is made old here. The store's part is removed by what the daily run calls, the scratch folders' by the next load.
    """
    deadline = time.monotonic() + FILES_SECONDS
    while left := [*_unfinished(place)]:
        if time.monotonic() > deadline:
            yield from (f"{file.relative_to(place.state)} is left" for file in left)
            return
        time.sleep(1)
    store = FolderStore(place.volumes / "images")
    _make_old(store.scratch())
    store.tidy()
    for folder in (store.scratch(), *_scratch_folders(place, "work/ingest")):
        for file in _old_in_use(folder):
            yield f"{file.relative_to(place.state)} is left, though it is old"
        _make_old(folder)


def _old_in_use(folder: Path) -> Iterator[Path]:
    """Old files of a folder that somebody has written into since they were made old."""
    if folder.is_dir() and _age_seconds(folder) < OLD_SECONDS / 2:
        yield from (file for file in folder.iterdir() if _age_seconds(file) > OLD_SECONDS / 2)


def _make_old(folder: Path) -> None:
    for file in (*folder.iterdir(), folder) if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            os.utime(file, (time.time() - OLD_SECONDS,) * 2, follow_symlinks=False)


def _age_seconds(file: Path) -> float:
    try:
        return time.time() - file.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _unfinished(place: Place) -> Iterator[Path]:
    """Files that nobody may leave."""
    yield from (place.volumes / "inbox").rglob("*.new")
    for scratch in _scratch_folders(place):
        yield from (one for one in scratch.iterdir() if not one.name.startswith(KNOWN))


def _scratch_folders(place: Place, name: str = "") -> Iterator[Path]:
    for host in (place.state / "hosts").iterdir():
        if (host / "scratch" / name).is_dir():
            yield host / "scratch" / name
