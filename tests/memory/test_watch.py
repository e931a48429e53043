"""The watcher beside real processes: what it keeps, what it brings, and when it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import psutil
import psycopg
import pytest

from include.memory import audit, history
from include.memory.report.used import GONE
from include.memory.shipping import orders, ship
from include.memory.watcher import spool, suspects, watch
from include.memory.watcher.processes import find
from include.memory.watcher.release import release
from include.memory.watcher.sample import Incarnation
from stack.postgres import PostgresServer
from tests.memory.programs import LEAKS, Program, running
from tests.waiting import until

EVERY = "0.3"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def leaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """A program that leaks, and an environment in which a watcher finds it, and nothing of Airflow."""
    with running(LEAKS["global_list"], tmp_path) as program:
        monkeypatch.setenv("MILLRACE_MEMORY_FOLDER", str(program.folder))
        monkeypatch.setenv("MILLRACE_MEMORY_SECONDS", EVERY)
        monkeypatch.setenv("MILLRACE_MEMORY_PROCESSES", json.dumps({"leaker": str(program.source)}))
        monkeypatch.setenv("MILLRACE_MEMORY_AGENT", "on")
        monkeypatch.setenv("MILLRACE_RELEASE", "one")
        yield program


@pytest.fixture
def warehouse_of_watcher(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fresh warehouse, as the watcher's child is told of it."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", dsn)
    return dsn


def watchers(folder: Path) -> list[psutil.Process]:
    """The watchers of a folder that run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if "include.memory.watcher.watch" in command and str(folder) in command and process.info["status"] != "zombie":
            found.append(process)
    return found


def test_one_watcher_starts_and_ends_with_the_last_process(leaker: Program, warehouse_of_watcher: str) -> None:
    assert watch.ensure()
    until(lambda: watchers(leaker.folder), "a watcher")
    for _ in range(3):
        watch.ensure()
    until(lambda: len(watchers(leaker.folder)) == 1, "the others to end")
    (watcher,) = watchers(leaker.folder)
    assert watcher.ppid() != os.getpid(), "it left the process that started it"
    with psycopg.connect(warehouse_of_watcher, autocommit=True) as warehouse:
        until(lambda: looks(warehouse) >= 3, "samples in the warehouse")
        rows = warehouse.execute(
            "SELECT DISTINCT host, pid, start_ticks, role, release, counters IS NOT NULL FROM millrace.memory_sample"
            " WHERE role = 'leaker'"
        ).fetchall()
        one = leaker.incarnation
        assert rows == [(one.host, one.pid, one.start_ticks, "leaker", "one", True)]
    leaker.process.kill()
    leaker.process.wait()
    until(lambda: not watchers(leaker.folder), "its end", 5)
    assert not (leaker.folder / "refused").exists()


def looks(warehouse: psycopg.Connection) -> int:
    """How many samples there are."""
    row = warehouse.execute("SELECT count(*) FROM millrace.memory_sample").fetchone()
    assert row is not None
    return int(row[0])


def test_an_order_is_filled_by_the_watcher(leaker: Program, warehouse_of_watcher: str) -> None:
    with psycopg.connect(warehouse_of_watcher, autocommit=True) as warehouse:
        watch.ensure()
        assert audit.prove(warehouse, leaker.incarnation, 1.0, 5) is None
        ended = replace(leaker.incarnation, start_ticks=1)
        assert audit.prove(warehouse, ended, 1.0, 5) == f"process {ended.pid} has ended"
        (evidence,) = warehouse.execute("SELECT evidence FROM millrace.memory_evidence").fetchone() or ()
        assert evidence["holders"][0]["chain"][0] == "module __main__"
        assert evidence["holders"][0]["chain"][1].startswith(".ORDERS list")
        assert all(len(line["frames"]) <= 5 for line in evidence["traced"]["lines"])
        assert history.proved(warehouse, 1.0) == {leaker.incarnation}


def living(connection: psycopg.Connection) -> int:
    """How many processes are listed as running."""
    last = "SELECT DISTINCT ON (pid) * FROM millrace.memory_sample ORDER BY pid, taken_at DESC"
    found = connection.execute(f"SELECT count(*) FROM ({last}) s WHERE NOT {GONE}").fetchone()
    assert found is not None
    return int(found[0])


def test_a_process_that_died_is_not_listed_as_running(leaker: Program, warehouse_of_watcher: str) -> None:
    """Also one that went down together with its watcher: the next watcher of the machine finds it out."""
    watch.look(leaker.folder, 0)
    with psycopg.connect(warehouse_of_watcher, autocommit=True) as connection:
        ship.work(connection, leaker.folder)
        assert living(connection) == 1
        os.kill(leaker.incarnation.pid, signal.SIGKILL)
        leaker.process.wait()
        ship.work(connection, leaker.folder)
        assert living(connection) == 0
        assert len(list(history.series(connection, 48))) == 1, (
            "what ends within minutes is judged: it may have been killed"
        )
        assert connection.execute("SELECT pid FROM millrace.memory_ended").fetchall() == [(leaker.incarnation.pid,)]
        connection.execute("UPDATE millrace.memory_sample SET taken_at = taken_at + interval '1 minute'")
        assert living(connection) == 1, "who is seen again lives"


def test_an_order_for_another_machine_is_left_to_it(
    warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PATIENCE_SECONDS", 0.5)
    elsewhere = Incarnation("elsewhere", 7, 7)
    fault = audit.prove(warehouse, elsewhere, 0.5, 5)
    assert fault is not None
    assert fault.startswith("the watcher of elsewhere has not answered")
    assert orders.take(warehouse, "here") is None
    order = orders.take(warehouse, "elsewhere")
    assert order is not None
    assert (order.process, order.frames) == (elsewhere, 5)
    assert orders.take(warehouse, "elsewhere") is None, "it is taken once"


def test_samples_outlast_the_database(leaker: Program, warehouse_of_watcher: str, postgres: PostgresServer) -> None:
    postgres.stop()
    try:
        watch.ensure()
        until(lambda: len(spool.waiting(leaker.folder)) >= 4, "samples in the spool")
    finally:
        postgres.start()
    with psycopg.connect(warehouse_of_watcher, autocommit=True) as warehouse:
        until(lambda: looks(warehouse) >= 4, "all that was seen meanwhile")
    leaker.process.kill()
    leaker.process.wait()
    until(lambda: not watchers(leaker.folder), "its end", 5)


def test_a_record_that_cannot_be_entered_is_put_aside(
    warehouse: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "agent"
    spool.put("samples", {"release": None, "samples": [{"role": "half"}]}, folder)
    spool.put("evidence", {"order_id": 5, "evidence": {"text": "\0"}, "fault": None}, folder)
    spool.put("unheard", {}, folder)
    order = orders.add(warehouse, Incarnation("here", 1, 1), 1.0, 8)
    spool.put("evidence", {"order_id": order, "evidence": {"text": "\0"}, "fault": None}, folder)
    assert ship.bring(warehouse, folder) == 1
    assert spool.waiting(folder) == []
    assert len(list((folder / ship.REFUSED).iterdir())) == 3
    assert capsys.readouterr().err.count("put aside") == 3


def test_the_spool_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    for number in range(5):
        spool.put("samples", {"number": number, "text": "x" * 100}, folder)
    size = spool.waiting(folder)[0].stat().st_size
    assert spool.bound(folder, 2 * size) == 3
    assert [json.loads(file.read_bytes())["number"] for file in spool.waiting(folder)] == [3, 4]


def test_the_warehouse_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ship.CONNECTION, raising=False)
    assert ship.warehouse() is None
    assert ship.main() == 1
    monkeypatch.setenv(ship.CONNECTION, "postgresql://a:b@c:5/d?sslmode=require")
    found = psycopg.conninfo.conninfo_to_dict(ship.warehouse() or "")
    assert (found["host"], found["sslmode"], found["application_name"]) == ("c", "require", "millrace-watch")
    plain = {"conn_type": "postgres", "host": "c", "port": 5, "login": "a", "password": "b' c", "schema": "d"}
    monkeypatch.setenv(ship.CONNECTION, json.dumps({**plain, "extra": {"sslmode": "require"}}))
    again = psycopg.conninfo.conninfo_to_dict(ship.warehouse() or "")
    assert again == {**found, "password": "b' c"}


def test_suspects_are_counted_after_a_collection(leaker: Program) -> None:
    suspects.write(leaker.folder, [])
    watch.look(leaker.folder, 0)
    suspects.write(leaker.folder, [leaker.incarnation])
    watch.look(leaker.folder, 0)
    seen = [
        json.loads(file.read_bytes())["samples"][0]["counters"]["collected"] for file in spool.waiting(leaker.folder)
    ]
    assert seen == [False, True]


def test_another_airflow_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: tmp_path / name for name in ("ours", "theirs")}
    programs = {}
    for name, folder in folders.items():
        folder.mkdir()
        programs[name] = running(LEAKS["global_list"], folder, "airflow", "triggerer", folder=folder / "agents")
    monkeypatch.setenv("MILLRACE_MEMORY_FOLDER", str(folders["ours"] / "agents"))
    with programs["ours"] as ours, programs["theirs"] as theirs:
        found = {one.incarnation for one in find(older_than_seconds=0) if one.role == "triggerer"}
        assert ours.incarnation in found
        assert theirs.incarnation not in found


def test_the_release_is_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_RELEASE", raising=False)
    assert release(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout[:12]
    assert release(tmp_path) == head
    subprocess.run([*git, "pack-refs", "--all"], check=True)
    assert release(tmp_path) == head
    subprocess.run([*git, "worktree", "add", "-q", str(tmp_path / "other")], check=True, capture_output=True)
    assert release(tmp_path / "other") == head
    subprocess.run([*git, "checkout", "-q", "--detach"], check=True)
    assert release(tmp_path) == head


def test_it_ends_when_its_folder_is_gone(leaker: Program) -> None:
    watch.ensure()
    until(lambda: spool.waiting(leaker.folder), "a sample")
    leaker.folder.rename(leaker.folder.with_name("moved"))
    until(lambda: not watchers(leaker.folder), "its end", 5)


def test_after_a_deploy_it_goes_on_as_the_new_release(leaker: Program, tmp_path: Path) -> None:
    deployed = tmp_path / "deployed"
    shutil.copytree(REPOSITORY / "include", deployed / "include", ignore=shutil.ignore_patterns("__pycache__"))
    (deployed / ".git").mkdir()
    (deployed / ".git" / "HEAD").write_text("1" * 40)
    environment = {name: value for name, value in os.environ.items() if name != "MILLRACE_RELEASE"}
    subprocess.run([*watch.COMMAND, str(leaker.folder)], cwd=deployed, env=environment, check=True)

    def releases() -> set[str]:
        return {json.loads(file.read_bytes())["release"] for file in spool.waiting(leaker.folder)}

    until(lambda: releases() == {"1" * 12}, "a sample of the first release")
    (deployed / ".git" / "HEAD").write_text("2" * 40)
    module = deployed / "include" / "memory" / "watcher" / "release.py"
    module.write_text(module.read_text().replace("return os.environ.get(CHOSEN) or", "return 'new code ' +"))
    until(lambda: f"new code {'2' * 12}" in releases(), "a sample of the second release, by its own code")
    assert len(watchers(leaker.folder)) == 1


def test_two_watchers_at_once_are_one(leaker: Program) -> None:
    threads = [Thread(target=watch.ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(watchers(leaker.folder)) == 1, "all but one to end")


def test_it_is_not_started_where_the_audit_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_MEMORY_AGENT", "off")
    assert not watch.ensure(tmp_path / "agent")
    assert not (tmp_path / "agent").exists()
