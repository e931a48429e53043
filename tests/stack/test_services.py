"""A host's service that can't be started once more: it is tried again later, and the cluster goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.cluster.services import Spec, restart, start
from stack.errors import StackError
from stack.postgres import PostgresServer


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Spec]:
    """A database on a volume that it can't be started on."""
    server = PostgresServer(tmp_path / "data")
    server.data_dir.mkdir(exist_ok=True)
    (server.data_dir / "PG_VERSION").write_text("9\n")
    yield Spec(
        name="warehouse-db", image="postgres:18", command=["postgres"], environment={"POSTGRES_PASSWORD": "secret"},
        working_dir=str(tmp_path), folders=[str(tmp_path)], hosts_file="", links=[], ports=[], health=[],
        restarts=True, grace_seconds=1.0, log=str(tmp_path / "log"),
    )  # fmt: skip
    server.destroy()


def test_a_first_start_that_fails_says_so(database: Spec) -> None:
    with pytest.raises(StackError, match="was made by PostgreSQL 9"):
        start(database)


def test_a_later_start_that_fails_counts_as_a_death(database: Spec, capsys: pytest.CaptureFixture[str]) -> None:
    service = restart(database)
    assert (service.pid, service.code) == (None, 1)
    service.stop(1.0)
    assert "was made by PostgreSQL 9" in capsys.readouterr().err
