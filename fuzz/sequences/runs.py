"""A run of the ingest, step by step and through its doors, also with steps that die."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from fuzz.sequences.ground import connected, instant
from fuzz.sequences.script import Deliver
from include.ingest.__main__ import main
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, Plan, plan
from include.ingest.run import close, run
from include.ingest.source.storage import Storage

FORK = multiprocessing.get_context("fork")  # as Airflow starts its tasks
LONGEST = 120.0


class Killed(Exception):
    """A step died."""


class _FrailCursor(psycopg.Cursor[Any]):
    def execute(self, *args: Any, **options: Any) -> Any:
        connection = self.connection
        if isinstance(connection, Frail):
            connection.left -= 1
            if connection.left < 0:
                connection.close()
                raise Killed
        return super().execute(*args, **options)


class Frail(Connection[Any]):
    """A connection that is cut after some statements."""

    left = 1_000_000

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursor_factory = _FrailCursor


@dataclass
class Outcome:
    """What a run came to: its id in the ledger, and why it failed if it did."""

    run_id: UUID
    error: BaseException | None = None
    early: bool = False  # the plan had nothing left to do


@dataclass
class Steps:
    """The steps of one run, each on a connection as a task has it; a step that dies is tried again."""

    dsn: str
    connection: Connection[Any]
    order: Deliver
    dataset: Dataset
    dataset_file: Path
    file: Path
    run_id: UUID
    scratch: Path
    early: bool = False
    _planned: Plan | None = None

    def whole(self, connection: Connection[Any] | None = None) -> Outcome:
        """All of it, by `run` or by the command line."""
        if self.order.door == "command":
            return self._command()
        try:
            account = run(connection or self.connection, self.dataset, self._order())
        except Exception as error:  # what is no IngestError is judged by the caller
            return Outcome(self.run_id, error)
        return Outcome(self.run_id, early=account.status == "skipped")

    def plan(self) -> None:
        """Plan, and say whether nothing is left to do."""
        self._step("plan")
        self.early = (self._planned is not None and self._planned.skipped) or self._is_done()

    def load(self) -> None:
        """Load all chunks."""
        self._step("load")

    def merge(self) -> None:
        """Merge."""
        self._step("merge")

    def close(self) -> IngestError | None:
        """End the run as the last task does; the error that it raises."""
        try:
            close(self.connection, self.run_id, self._storage())
        except IngestError as error:
            return error
        return None

    def _is_done(self) -> bool:
        row = self.connection.execute(
            "SELECT status IN ('done', 'skipped') FROM millrace.ingest_run WHERE run_id = %s", [self.run_id]
        ).fetchone()
        return row is not None and bool(row[0])

    def _storage(self) -> Storage:
        return Storage(self.scratch)

    def _order(self) -> Order:
        return Order(self.run_id, self.file, instant(self.order.version), self.order.force, storage=self._storage())

    def _do(self, name: str, connection: Connection[Any]) -> None:
        if name == "plan":
            self._planned = plan(connection, self.dataset, self._order())
            return
        assert self._planned is not None
        planned = Plan.from_dict(json.loads(json.dumps(self._planned.as_dict())), self._storage())
        if name == "merge":
            merge(connection, self.dataset, planned)
            return
        for chunk in planned.chunks:
            load_chunk(connection, self.dataset, planned, chunk)

    def _step(self, name: str) -> None:
        step, how, moment = self.order.death or ("", "", 0)
        if step == name:
            _DEATHS[how](self, name, moment)
        self._do(name, self.connection)

    # Ways to die. A step that got to its end is done once more, as by a retry whose first try was given up for dead.

    def _statement(self, name: str, moment: int) -> None:
        with connected(self.dsn, Frail) as connection, contextlib.suppress(Killed, psycopg.Error):
            connection.left = moment
            self._do(name, connection)

    def _again(self, name: str, moment: int) -> None:
        self._do(name, self.connection)

    def _replanned(self, name: str, moment: int) -> None:
        """The run is cleared in the middle."""
        if name == "merge":
            self._do("plan", self.connection)
            self._do("load", self.connection)
        elif name == "load":
            self._do("load", self.connection)
            self._do("plan", self.connection)

    def _terminated(self, name: str, moment: int) -> None:
        with connected(self.dsn) as connection:
            pid = connection.info.backend_pid
            timer = threading.Timer(moment / 1000, self._terminate, [pid])
            timer.start()
            with contextlib.suppress(psycopg.Error):
                self._do(name, connection)
            timer.cancel()
            timer.join()

    def _terminate(self, pid: int) -> None:
        with connected(self.dsn) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])

    def _killed(self, name: str, moment: int) -> None:
        """A process of its own, SIGKILL."""
        child = FORK.Process(target=self._in_child, args=[name])
        child.start()
        child.join(0.02 + moment / 500)
        child.kill()
        child.join(LONGEST)

    def _in_child(self, name: str) -> None:
        with contextlib.suppress(BaseException), connected(self.dsn) as connection:
            self._do(name, connection)
        os._exit(0)  # the parent's connections must not be closed

    def _command(self) -> Outcome:
        order = self.order
        arguments = ["run", str(self.dataset_file), str(self.file), "--dsn", self.dsn, "--json"]
        arguments += ["--date", instant(order.version).isoformat(), "--chunk-bytes", str(order.chunk_bytes)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments, *(["--force"] if order.force else [])])
        said = err.getvalue().strip()
        shown = json.loads(out.getvalue()) if out.getvalue() else {}
        error = None if code == 0 else IngestError(said) if code in (1, 3) else RuntimeError(f"exit {code}: {said}")
        return Outcome(UUID(shown["run_id"]) if shown else self.run_id, error, shown.get("status") == "skipped")


_DEATHS: dict[str, Callable[[Steps, str, int], None]] = {
    "statement": Steps._statement,
    "again": Steps._again,
    "replanned": Steps._replanned,
    "terminated": Steps._terminated,
    "killed": Steps._killed,
}


def in_threads(dsn: str, one: Steps, other: Steps) -> tuple[Outcome, Outcome]:
    """Two runs at the same time."""
    found: dict[int, Outcome] = {}

    def go(number: int, steps: Steps) -> None:
        with connected(dsn) as connection:
            found[number] = steps.whole(connection)

    threads = [threading.Thread(target=go, args=[number, steps]) for number, steps in enumerate((one, other))]
    deadline = time.monotonic() + LONGEST
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return found[0], found[1]
