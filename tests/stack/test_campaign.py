"""The campaign of faults: the model of the table, checks that see what is wrong, and a short one on a real cluster."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import psutil
import psycopg
import pytest

from campaign import checks, faults
from campaign.cargo import Table, make_day
from campaign.checks import check_files, check_warehouse
from campaign.faults import FAULTS, deal
from campaign.ground import DATASET
from campaign.report import Played, never_struck, sayings
from campaign.round import Round, Run
from include.ingest.dataset_file import load_dataset
from include.ingest.plan import Order
from include.ingest.run import run as ingest
from stack.cluster.topology import Place
from tests.stack.here import REPOSITORY

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEFT_SECONDS", 0.0)
    monkeypatch.setattr(checks, "FILES_SECONDS", 0.0)


@pytest.fixture
def loaded(warehouse: psycopg.Connection, tmp_path: Path) -> tuple[list[Run], Table]:
    """A file of two thousand rows that a run has brought in, and the model of it."""
    (tmp_path / "campaign.yaml").write_text(DATASET)
    done = Run(make_day(random.Random(1), 2000), tmp_path / "day.csv", DAY, "round1")
    done.day.deliver(done.file)
    dataset = load_dataset(tmp_path / "campaign.yaml")
    ingest(warehouse, dataset, Order(uuid4(), done.file, DAY, airflow_run="ingest_campaign/round1"))
    return [done], Table().after(done.day)


def test_the_model_is_what_an_ingest_makes(warehouse: psycopg.Connection, loaded: tuple[list[Run], Table]) -> None:
    assert loaded[0][0].day.rejected > 0
    assert loaded[0][0].day.superseded > 0
    assert [*check_warehouse(warehouse, *loaded)] == []


PLANTED = {
    "a row too many": ("INSERT INTO campaign VALUES (-1, 'x', 1)", "checksum"),
    "a value": ("UPDATE campaign SET price = price + 1 WHERE id = (SELECT min(id) FROM campaign)", "checksum"),
    "an account": ("UPDATE millrace.ingest_run SET read = read - 1, inserted = inserted - 1", "does not balance"),
    "a rejected row": ("DELETE FROM millrace.rejected_row", "keeps .* rejected rows of"),
    "a planned run": ("UPDATE millrace.ingest_run SET status = 'planned'", "round1 is still planned"),
    "a failed run": ("UPDATE millrace.ingest_run SET status = 'failed'", r"round1 is \['failed'\] in the ledger"),
    "a staging table": ("CREATE TABLE millrace_staging.rows_1 ()", "millrace_staging.rows_1 is left"),
    "another table": ("CREATE TABLE public.campaign_old ()", "public.campaign_old is left"),
    "a lock": ("SELECT pg_advisory_lock(42)", "advisory lock 0/42"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_each_check_sees_what_is_wrong(
    warehouse: psycopg.Connection, loaded: tuple[list[Run], Table], planted: str
) -> None:
    statement, said = PLANTED[planted]
    warehouse.execute(statement)
    warehouse.commit()
    problems = [*check_warehouse(warehouse, *loaded)]
    assert problems
    assert any(re.search(said, problem) for problem in problems), problems


def test_an_open_transaction_is_seen(
    warehouse: psycopg.Connection, dsn: str, loaded: tuple[list[Run], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LEFT_SESSIONS", checks.LEFT_SESSIONS.replace("5 seconds", "0.1 seconds"))
    with psycopg.connect(dsn) as other:
        other.execute("SELECT 1")
        time.sleep(0.3)
        (problem,) = check_warehouse(warehouse, *loaded)
    assert "idle in transaction" in problem


LEFT: dict[str, Callable[[Place], Path]] = {
    "inbox": lambda place: place.volumes / "inbox" / "campaign" / "day.new",
    "scratch": lambda place: place.own("worker-1") / "scratch" / "millrace-x",
}


@pytest.mark.parametrize("where", LEFT)
def test_a_file_that_is_left_is_seen(where: str, tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    for folder in (place.volumes / "inbox", place.own("worker-1") / "scratch"):
        folder.mkdir(parents=True)
    assert [*check_files(place)] == []
    file = LEFT[where](place)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert [*check_files(place)] == [f"{file.relative_to(tmp_path)} is left"]


def test_what_was_being_written_may_be_left_for_a_day(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    store, scratch = place.volumes / "images" / "incoming", place.own("worker-1") / "scratch" / "work" / "ingest"
    for folder in (place.volumes / "inbox", store, scratch):
        folder.mkdir(parents=True)
    (store / "half").touch()
    (scratch / "half").touch()
    assert [*check_files(place)] == []
    assert not (store / "half").exists()
    assert [*check_files(place)] == [], "no load has been on that host since"
    (scratch / "of the next load").touch()
    (found,) = check_files(place)
    assert found.endswith("scratch/work/ingest/half is left, though it is old")


def test_each_kind_of_fault_strikes_equally_often_and_by_the_seed() -> None:
    hands = deal(random.Random(7), 4 * len(FAULTS), 4)
    assert hands == deal(random.Random(7), 4 * len(FAULTS), 4) != deal(random.Random(8), 4 * len(FAULTS), 4)
    assert set(Counter(fault.name for hand in hands for fault in hand).values()) == {4}
    for hand in hands:
        groups = [fault.group for fault in hand if fault.group]
        assert len(groups) == len(set(groups))


def test_a_kind_of_fault_that_always_misses_is_named() -> None:
    def played(hit: str, *missed: str) -> Played:
        return Played(1, ((hit, "it"),), missed, 0, 0, 1, (), (), 1.0)

    rounds = [played("a", "b", "c"), played("c", "b", "d")]
    assert never_struck(rounds) == ["b"]
    assert never_struck([*rounds, played("b")]) == []


def test_a_database_that_does_not_end_is_killed_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "GRACE_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        round_ = SimpleNamespace(ground=SimpleNamespace(postmaster=lambda _: psutil.Process(server.pid)))
        (restart,) = (fault for fault in FAULTS if fault.name == "warehouse restarted")
        assert restart.strike(cast(Round, round_)) is not None
        assert server.wait(20) == -signal.SIGKILL


def test_a_report_tells_each_kind_of_reason_once_and_no_folder() -> None:
    changed = "/var/x/inbox/day_{}.csv changed ({} to 5 bytes). It\nmust be complete"
    told = list(sayings(["gone: clear `plan`", *(changed.format(day, 10 * day) for day in (1, 2))]))
    assert told == [
        "- 2 x, such as: day_1.csv changed (10 to 5 bytes). It must be complete",
        "- 1 x, such as: gone: clear `plan`",
    ]


@pytest.mark.airflow
@pytest.mark.compiler
@pytest.mark.hosts
@pytest.mark.namespaces
@pytest.mark.redis
def test_a_short_campaign(tmp_path: Path) -> None:
    report, before = tmp_path / "report.md", {*Path("/var/tmp").glob("millrace-campaign-*")}
    done = subprocess.run(
        [sys.executable, "-m", "campaign", "--seed", "5", "--faults", "3", "--each", "3", "--report", report],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # A moment may find nothing to hit: the run can be done by then.
    assert re.search(r"^[1-3] faults in 1 rounds, 0 rounds with a problem$", done.stdout, re.MULTILINE), done.stdout
    assert "every invariant held after each round" in report.read_text()
    assert {*Path("/var/tmp").glob("millrace-campaign-*")} <= before
