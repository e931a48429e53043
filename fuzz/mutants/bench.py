"""Where mutants are tried: a tree of its own, a PostgreSQL of its own, and one mutant at a time.

Everything that tests import is imported once in the process that forks; a child then forgets the project's own modules
and imports them from the tree, so that a mutant costs little more than its tests.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from fuzz.mutants.tree import ROOT, copy_tree
from stack import databases
from stack.ports import free_port, scratch_place
from stack.postgres import PostgresServer
from tests import conftest

OWN = ("include", "tests", "fuzz", "stack", "dags")


@dataclass(frozen=True)
class Bench:
    """A place for one mutant at a time."""

    tree: Path
    scratch: Path
    server: PostgresServer
    s3_port: int

    def tidy(self) -> None:
        """After a mutant: what its tests left on the server goes, and the server runs."""
        if not self.server.running():
            self.server.start()
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            for (name,) in connection.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'test\_%'"):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.contextmanager
def benches(count: int) -> Iterator[list[Bench]]:
    """`count` benches, gone afterwards with all that was tried on them."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-mutants-", dir=scratch_place())))
        pristine = folder / "pristine"
        copy_tree(ROOT, pristine)
        subprocess.run(
            [sys.executable, "-c", "import include.ingest.run, include.ingest.express"], cwd=pristine, check=True
        )
        yield [stack.enter_context(_bench(folder / str(number), pristine)) for number in range(count)]


@contextlib.contextmanager
def _bench(folder: Path, pristine: Path) -> Iterator[Bench]:
    folder.mkdir()
    copy_tree(pristine, folder / "tree")
    (folder / "scratch").mkdir()
    chosen = os.environ.get("MILLRACE_TEST_PG_BIN")
    server = PostgresServer(folder / "data", free_port(), conftest.QUICK, binaries=Path(chosen) if chosen else None)
    try:
        server.start()
        databases.prepare(server.dsn(), conftest.PASSWORDS)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            template = sql.Identifier(conftest.TEMPLATE)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER ingest").format(template))
        databases.migrate_warehouse(server.dsn(conftest.TEMPLATE, "ingest", conftest.PASSWORDS["ingest"]))
        command = [sys.executable, "-c", conftest.SERVER]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as s3:
            assert s3.stdout is not None
            try:
                yield Bench(folder / "tree", folder / "scratch", server, int(s3.stdout.readline()))
            finally:
                s3.terminate()
    finally:
        server.destroy()


class BenchPlugin:
    """Tests get the servers of the bench instead of starting their own."""

    def __init__(self, bench: Bench) -> None:
        self.values = {"postgres": bench.server, "template": conftest.TEMPLATE, "s3_port": bench.s3_port}

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: pytest.FixtureRequest) -> object | None:
        """The value of a fixture that the bench has; None: pytest makes it."""
        value = self.values.get(fixturedef.argname) if fixturedef.scope == "session" else None
        if value is not None:
            fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value


def import_everything() -> None:
    """Import what the tests import, in the process that forks."""
    for path in sorted(ROOT.glob("tests/ingest/**/test_*.py")):
        with contextlib.suppress(Exception):  # the tests themselves say what is wrong
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    gc.collect()
    gc.freeze()  # a child that collects would copy all these pages


def move_to(tree: Path) -> None:
    """In a child: forget the project's modules, and import them from this tree from now on."""
    for name in list(sys.modules):
        if name.partition(".")[0] in OWN:
            del sys.modules[name]
    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    importlib.invalidate_caches()
