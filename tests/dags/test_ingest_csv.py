"""The ingest DAG on a real Airflow: form, schedule, backfill, waiting, failing, and a task killed while it works."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from include import slots
from tests.dags.conftest import Airflow
from tests.waiting import until

HEADER = "id,label,price\n"
ROWS = 3_000_000
BROKEN = (
    "name: broken\nsource: x\ntarget: public.broken\nkey: [id]\ncolumns:\n  id: {type: bigint}\n  size: {type: huge}\n"
)


def states(airflow: Airflow, dag: str, kind: str) -> list[str]:
    """The states of a DAG's runs of one kind."""
    return [run["state"] for run in airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"] if run["run_type"] == kind]


def loads(airflow: Airflow, run: str) -> list[tuple[str, int]]:
    tasks = airflow.tasks("ingest_gone", run)
    return [(task["state"], task["try_number"]) for task in tasks if task["task_id"] == "load"]


@pytest.fixture(scope="module")
def gone(airflow: Airflow) -> str:
    """A run whose file has gone. Its tries take two minutes, in which other tests go on."""
    dag = airflow.add_dataset("gone", "schedule: null\nchunk_bytes: 4000000")
    file = airflow.deliver("gone", "2026-03-05", HEADER + "".join(f"{n},label {n},1\n" for n in range(ROWS)))
    run = airflow.trigger(dag, "2026-03-05")
    until(lambda: ("success", 1) in loads(airflow, run), "a chunk to be loaded", every=0.05)
    file.rename(file.with_suffix(".away"))
    return run


def test_a_file_that_goes_during_the_run_has_no_reason_yet_as_the_next_try_may_go_well(
    airflow: Airflow, gone: str
) -> None:
    until(lambda: ("up_for_retry", 1) in loads(airflow, gone), "a load that failed")
    assert airflow.ledger("ingest_gone", gone, "reason") == (None,)


def test_the_form_overrides_path_and_chunk_size(airflow: Airflow) -> None:
    dag = airflow.add_dataset("formed")
    file = airflow.deliver("formed", "elsewhere", HEADER + '1,"a\nb",1\n2,b,2\n1,c,3\n3,d,-1\n')
    run = airflow.trigger(dag, "2026-03-05", path=str(file), chunk_bytes=10)
    assert airflow.outcome(dag, run) == "success"
    account = airflow.account(dag, run)
    shown = {name: account[name] for name in ("status", "read", "inserted", "superseded", "rejected", "file")}
    assert shown == {"status": "done", "read": 4, "inserted": 2, "superseded": 1, "rejected": 1, "file": str(file)}
    labels = [task["rendered_map_index"] for task in airflow.tasks(dag, run) if task["task_id"] == "load"]
    assert len(labels) == account["chunks"] > 1
    assert "chunk 1 of 3: 10 bytes at 15" in labels
    events = airflow.api.get("assets/events", source_dag_id=dag)["asset_events"]
    assert [event["extra"]["inserted"] for event in events] == [2]
    again = airflow.trigger(dag, path=str(file))
    assert airflow.outcome(dag, again) == "success"
    assert airflow.account(dag, again)["status"] == "skipped"
    forced = airflow.trigger(dag, path=str(file), force=True)
    assert airflow.outcome(dag, forced) == "success"
    assert airflow.account(dag, forced)["unchanged"] == 2


def test_a_folder_of_packed_files(airflow: Airflow, tmp_path: Path) -> None:
    dag = airflow.add_dataset("packed")
    for name, lines in (("b", "1,b,1\nx,b,1\n"), ("a", "1,a,1\n2,a,1\n")):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress((HEADER + lines).encode()))
    run = airflow.trigger(dag, "2026-03-05", path=f"{tmp_path}/*.csv.gz", chunk_bytes=1)
    assert airflow.outcome(dag, run) == "success"
    account = airflow.account(dag, run)
    assert {name: account[name] for name in ("read", "inserted", "superseded", "rejected")} == {
        "read": 4, "inserted": 2, "superseded": 1, "rejected": 1,
    }  # fmt: skip
    with airflow.warehouse() as connection:
        assert connection.execute("SELECT id, label FROM packed ORDER BY id").fetchall() == [(1, "b"), (2, "a")]


def test_a_run_without_date_and_path_says_so(airflow: Airflow) -> None:
    dag = airflow.add_dataset("dateless")
    run = airflow.trigger(dag)
    assert airflow.outcome(dag, run) == "failed"
    words = "this run has no logical date, so its file has no name: give a date or a path"
    assert airflow.ledger(dag, run) == ("failed", "{{ inbox }}/dateless/dateless_{{ ds }}.csv", words)
    assert words in airflow.said(dag, run, "account")


def test_a_date_is_one_file_and_one_version_through_every_door(airflow: Airflow) -> None:
    file = airflow.deliver("doors", "2026-03-03", HEADER + "1,scheduled,1\n")
    airflow.deliver("doors", "2026-03-02", HEADER + "1,older,1\n")
    dag = airflow.add_dataset(
        "doors", 'schedule: "@daily"\ncatchup: true\nend_date: 2026-03-02', "data_interval_end | ds"
    )
    until(lambda: states(airflow, dag, "scheduled") == ["success"] * 2, "two scheduled runs")
    by_hand = [airflow.trigger_at(dag, "2026-03-02T11:30:00Z")]  # as the form's "now" is, at any time of a day
    airflow.command("dags", "trigger", "--logical-date", "2026-03-02T15:00:00+00:00", "--run-id", "by_command", dag)
    by_hand.append("by_command")
    scheduled = next(
        run["dag_run_id"] for run in airflow.api.get(f"dags/{dag}/dagRuns")["dag_runs"]
        if run["logical_date"].startswith("2026-03-02T00:00:00")
    )  # fmt: skip
    for run in by_hand:
        assert airflow.outcome(dag, run) == "success"
    for run in [scheduled, *by_hand]:
        assert airflow.ledger(dag, run, "file, version::text") == (str(file), "2026-03-02 00:00:00+00")
    older = airflow.trigger_at(dag, "2026-03-01T23:59:59Z")
    assert airflow.outcome(dag, older) == "success"
    assert airflow.ledger(dag, older, "version::text") == ("2026-03-01 00:00:00+00",)
    with_path = airflow.trigger(dag, path=str(file))
    assert airflow.outcome(dag, with_path) == "success"
    yesterday = "version = date_trunc('day', started_at, 'UTC') - interval '1 day'"
    assert airflow.ledger(dag, with_path, yesterday) == (True,), "the last complete interval"


def test_rows_that_are_stale_are_warned_of(airflow: Airflow) -> None:
    dag = airflow.add_dataset("warned")
    for day in ("2026-03-02", "2026-03-01"):
        airflow.deliver("warned", day, HEADER + f"1,{day},1\n")
        run = airflow.trigger(dag, day)
        assert airflow.outcome(dag, run) == "success"
    words = "1 of 1 rows are older than the table's, and changed nothing"
    assert airflow.ledger(dag, run, "status, stale, reason") == ("done", 1, words)
    assert words in airflow.said(dag, run, "account")
    events = airflow.api.get("assets/events", source_dag_id=dag)["asset_events"]
    told = sorted((event["extra"]["stale"], event["extra"]["reason"] or "") for event in events)
    assert told == [(0, ""), (1, words)]


def test_a_source_that_can_not_be_rendered_fails_at_once(airflow: Airflow) -> None:
    dag = airflow.add_dataset("unnamed", date="var.value.no_such_variable")
    run = airflow.trigger(dag, "2026-03-05")
    assert airflow.outcome(dag, run) == "failed"
    status, _, reason = airflow.ledger(dag, run)
    assert (status, "dataset unnamed: source" in reason, "no_such_variable" in reason) == ("failed", True, True)
    assert [task["try_number"] for task in airflow.tasks(dag, run) if task["task_id"] == "plan"] == [1]


def test_the_form_lifts_the_delete_limit(airflow: Airflow) -> None:
    dag = airflow.add_dataset("whole", "schedule: null\nmode: replace")
    airflow.deliver("whole", "2026-03-01", HEADER + "1,a,1\n2,a,1\n3,a,1\n")
    airflow.deliver("whole", "2026-03-02", HEADER + "1,a,1\n")
    assert airflow.outcome(dag, airflow.trigger(dag, "2026-03-01")) == "success"
    run = airflow.trigger(dag, "2026-03-02")
    assert airflow.outcome(dag, run) == "failed"
    assert "2 of the table's 3 rows would be deleted" in airflow.ledger(dag, run)[2]
    file = str(airflow.settings.inbox / "whole" / "whole_2026-03-02.csv")
    lifted = airflow.trigger(dag, "2026-03-03", path=file, delete_ratio=1)
    assert airflow.outcome(dag, lifted) == "success"
    assert airflow.account(dag, lifted)["deleted"] == 2


def test_the_daily_schedule_takes_each_days_file(airflow: Airflow) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        airflow.deliver("daily", day, HEADER + f"1,{day},1\n{day[-2:]},own,1\n")
    dag = airflow.add_dataset("daily", "catchup: true\nend_date: 2026-03-03")
    until(lambda: states(airflow, dag, "scheduled") == ["success"] * 3, "three scheduled runs")
    with airflow.warehouse() as connection:
        found = connection.execute("SELECT id, label, source_version::date::text FROM daily ORDER BY id").fetchall()
    assert found == [(1, "2026-03-03", "2026-03-03"), (2, "own", "2026-03-02"), (3, "own", "2026-03-03")]


def test_a_backfill_over_days_whose_columns_change_leaves_newer_rows(airflow: Airflow) -> None:
    airflow.deliver("filled", "2026-03-01", HEADER + "1,a,1\n2,b,2\n")
    airflow.deliver("filled", "2026-03-02", "color,id,label,price\nred,1,a,1\nblue,3,c,3\n")
    airflow.deliver("filled", "2026-03-03", "color,id,label,price\ngreen,1,newest,1\n")
    dag = airflow.add_dataset("filled", "unknown_columns: add\ncatchup: false\nend_date: 2026-03-03")
    assert airflow.outcome(dag, airflow.trigger(dag, "2026-03-03")) == "success"
    airflow.command("backfill", "create", "--dag-id", dag, "--from-date", "2026-03-01", "--to-date", "2026-03-02")
    until(lambda: states(airflow, dag, "backfill") == ["success"] * 2, "two days")
    with airflow.warehouse() as connection:
        found = connection.execute("SELECT id, label, color FROM filled ORDER BY id").fetchall()
    assert found == [(1, "newest", "green"), (2, "b", None), (3, "c", "blue")]
    events = airflow.api.get("assets/events", source_dag_id=dag)["asset_events"]
    told = {event["extra"]["version"][:10]: event["extra"] for event in events}
    assert [told[f"2026-03-0{day}"]["unknown_columns"] for day in (1, 2, 3)] == [[], ["color"], ["color"]]


def test_a_missing_file_is_waited_for(airflow: Airflow) -> None:
    dag = airflow.add_dataset("awaited")
    run = airflow.trigger(dag, "2026-03-05")
    until(lambda: airflow.tasks(dag, run)[0]["state"] == "up_for_reschedule", "the wait to begin")
    file = str(airflow.settings.inbox / "awaited" / "awaited_2026-03-05.csv")
    assert airflow.ledger(dag, run) == ("waiting", file, None)
    airflow.deliver("awaited", "2026-03-05", HEADER + "1,late,1\n")
    assert airflow.outcome(dag, run) == "success"
    assert airflow.account(dag, run)["inserted"] == 1
    ended = {task["task_id"]: task["state"] for task in airflow.tasks(dag, run)}
    assert ended == {"plan": "success", "load": "skipped", "merge": "skipped", "account": "success"}, "it is small"


def test_a_file_that_does_not_come_is_named(airflow: Airflow) -> None:
    dag = airflow.add_dataset("absent", "wait_timeout_seconds: 0")
    run = airflow.trigger(dag, "2026-03-05")
    assert airflow.outcome(dag, run) == "failed"
    assert "absent_2026-03-05.csv did not come within 0 seconds" in airflow.said(dag, run, "plan")
    status, file, reason = airflow.ledger(dag, run)
    assert (status, reason.startswith(f"{file} did not come within 0 seconds")) == ("failed", True)
    assert [task["try_number"] for task in airflow.tasks(dag, run) if task["task_id"] == "plan"] == [1]


def test_over_the_limit_the_run_fails_with_its_reason(airflow: Airflow) -> None:
    dag = airflow.add_dataset("limited")
    airflow.deliver("limited", "2026-03-05", HEADER + "1,a,1\nx,b,1\ny,c,1\n")
    run = airflow.trigger(dag, "2026-03-05")
    assert airflow.outcome(dag, run) == "failed"
    with airflow.warehouse() as connection:
        ((status, reason),) = connection.execute(
            "SELECT status, reason FROM millrace.ingest_run WHERE dataset = 'limited'"
        )
        assert (status, "limit of 1 row" in reason) == ("failed", True)
        assert connection.execute("SELECT to_regclass('limited')").fetchone() == (None,)
        left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'millrace_staging'::regnamespace"
        assert connection.execute(left).fetchone() == (0,)
    tries = {task["task_id"]: task["try_number"] for task in airflow.tasks(dag, run)}
    assert tries == {"plan": 1, "load": 0, "merge": 0, "account": 1}, "no retry can help"
    for task in ("plan", "account"):
        *first, last = airflow.lines(dag, run, task)[-4:]
        reason = r"limited_2026-03-05.csv: 2 rows were rejected .* WHERE run_id = '[0-9a-f-]{36}'$"
        assert re.match(reason, " ".join(first)), "the reason comes last"
        assert re.match("Folder: .*/inbox/limited/$", last)
        assert "Traceback" not in airflow.log(dag, run, task)
        assert "error_detail" not in airflow.log(dag, run, task)
    assert airflow.notes(dag, run)["plan"].startswith("**Failed.** limited_2026-03-05.csv")
    assert airflow.notes(dag, run)["run"].startswith("**Failed.** limited_2026-03-05.csv")
    airflow.deliver("limited", "2026-03-05", HEADER + "1,a,1\n")
    airflow.api.post(f"dags/{dag}/clearTaskInstances", {"dry_run": False, "only_failed": False, "dag_run_id": run})
    assert airflow.outcome(dag, run) == "success"
    assert set(airflow.notes(dag, run).values()) == {""}, "what failed before is no longer said"


def test_a_file_that_goes_during_the_run_is_named_once_nothing_is_tried_again(airflow: Airflow, gone: str) -> None:
    assert airflow.outcome("ingest_gone", gone) == "failed"
    assert "has gone since it was planned: deliver it again" in str(airflow.ledger("ingest_gone", gone, "reason"))
    assert ("failed", 4) in loads(airflow, gone)


@pytest.mark.parametrize("step", ["load", "merge"])
def test_a_killed_task_is_retried(airflow: Airflow, step: str) -> None:
    name = f"killed_{step}"
    dag = airflow.add_dataset(name, "schedule: null\nchunk_bytes: 40000000")
    body = "".join(f"{number},label {number},1\n" for number in range(ROWS))
    airflow.deliver(name, "2026-03-05", HEADER + "1,first,1\n" + body)
    run = airflow.trigger(dag, "2026-03-05")
    at_work = (  # a session that loads a chunk says how far it is in its name
        "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^millrace( |$)' AND state <> 'idle' AND query ~ %s"
    )
    sign = {"load": "^COPY", "merge": "ADD CONSTRAINT"}[step]
    with airflow.warehouse() as connection:
        until(lambda: connection.execute(at_work, [sign]).fetchone(), f"{step} at work", every=0.02)
    airflow.kill_tasks()
    assert airflow.outcome(dag, run) == "success"
    account = airflow.account(dag, run)
    assert {key: account[key] for key in ("read", "inserted", "superseded", "rejected")} == {
        "read": ROWS + 1, "inserted": ROWS, "superseded": 1, "rejected": 0,
    }  # fmt: skip
    assert max(task["try_number"] for task in airflow.tasks(dag, run) if task["task_id"] == step) > 1


def test_an_ingest_that_has_no_slot_left_holds_nobody_else_up(airflow: Airflow) -> None:
    dag = airflow.add_dataset("crowded")
    found = {pool["name"]: pool["slots"] for pool in airflow.api.get("pools")["pools"]}
    parallelism = sum(found[kind] for kind in slots.KINDS) + 1
    assert found | slots.split(parallelism) == found, "one slot is left for other DAGs"
    file = airflow.deliver("crowded", "elsewhere", HEADER + "1,a,1\n")
    full = {"pool": "ingest", "slots": 0, "include_deferred": False}
    airflow.api.patch("pools/ingest", full)
    try:
        waiting = airflow.trigger(dag, "2026-03-05", path=str(file))
        for other, pool in (("audit_memory", "memory"), ("resize_images", "images")):
            run = airflow.trigger(other)
            assert airflow.outcome(other, run) == "success"
            assert {task["pool"] for task in airflow.tasks(other, run)} == {pool}
        states = {task["task_id"]: task["state"] for task in airflow.tasks(dag, waiting)}
        assert states["plan"] in (None, "scheduled")
    finally:
        airflow.api.patch("pools/ingest", {**full, "slots": found["ingest"]})
    assert airflow.outcome(dag, waiting) == "success"


def test_a_wrong_dataset_file_names_file_line_and_field(airflow: Airflow) -> None:
    file = airflow.folder / "include" / "datasets" / "broken.yaml"
    file.write_text(BROKEN)
    airflow.read_again()

    def errors() -> list[dict[str, Any]]:
        return list(airflow.api.get("importErrors")["import_errors"])

    try:
        until(errors, "the import error")
        assert "broken.yaml:7: columns.size.type" in errors()[0]["stack_trace"]
        assert airflow.api.get("dags/ingest_orders")["is_stale"] is False
        assert airflow.api.get("dags/ingest_orders")["has_import_errors"] is False
    finally:
        file.unlink()
        airflow.read_again()
    until(lambda: not errors(), "the import error to go")
