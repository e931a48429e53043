"""The memory audit on a real Airflow, its own processes and one that leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.memory.watcher.sample import Incarnation, host
from tests.dags.conftest import Airflow
from tests.memory.past import leaks, past
from tests.memory.programs import LEAKS, running
from tests.waiting import appeared, until

DAG = "audit_memory"
ROLES = {"scheduler", "executor-worker", "dag-processor", "triggerer", "api-server"}


def test_the_audit_sees_all_of_airflow_and_fails_once_for_a_leak(airflow: Airflow, tmp_path: Path) -> None:
    appeared(airflow.api, DAG)
    agents = airflow.settings.state / "memory"
    with running(LEAKS["global_list"], tmp_path, folder=agents) as program, airflow.warehouse() as warehouse:
        past(warehouse, program.incarnation, leaks)
        airflow.outcome(DAG, airflow.trigger(DAG, seconds=2))

        def failed() -> list[str]:
            runs = airflow.api.get(f"dags/{DAG}/dagRuns", limit=100)["dag_runs"]
            return [run["dag_run_id"] for run in runs if run["state"] == "failed"]

        until(failed, "a run that fails for the leak")
        again = airflow.trigger(DAG, seconds=2)
        assert airflow.outcome(DAG, again) == "success", "it says so once"
        (flag,) = [task for task in airflow.tasks(DAG, again) if task["task_id"] == "flag_leaks"]
        assert flag["state"] == "skipped", "no asset event for nothing"
        (run,) = failed()
        said = airflow.said(DAG, run, "flag_leaks")
        assert f"worker {program.incarnation.pid} on {program.incarnation.host} leaks" in said
        assert "Held by module __main__ > .ORDERS list" in said
        assert f"Allocated at {program.source}:" in said
        told = airflow.folder / "told.txt"
        until(told.exists, "the notifier of the environment, which is called after the task has ended")
        assert told.read_text().count("leaks") == 1, "once"
        assert f"worker {program.incarnation.pid}" in told.read_text()

        def all_counted() -> bool:
            rows = warehouse.execute("SELECT DISTINCT role FROM millrace.memory_sample WHERE counters IS NOT NULL")
            return {role for (role,) in rows} >= ROLES

        until(all_counted, "a look into every kind of process")


def test_a_process_is_profiled_by_force_and_a_leak_is_an_asset_event(airflow: Airflow) -> None:
    appeared(airflow.api, DAG)
    with airflow.warehouse() as warehouse:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return warehouse.execute(query).fetchall()

        triggerers = "SELECT DISTINCT pid FROM millrace.memory_sample WHERE role = 'triggerer'"
        until(lambda: rows(triggerers), "a sample of the triggerer")
        forced = airflow.trigger(DAG, force=True, processes="^triggerer ", seconds=2, depth=3)
        assert airflow.outcome(DAG, forced) == "success"
        evidence = rows(f"SELECT pid, evidence FROM millrace.memory_evidence WHERE pid IN ({triggerers})")
        assert {(pid,) for pid, _ in evidence} == set(rows(triggerers))
        assert all(len(line["frames"]) <= 3 for _, found in evidence for line in found["traced"]["lines"])

        ended = Incarnation(host(), 1, 1)  # seen a minute ago, and not there any more
        past(warehouse, ended, leaks)
        told = airflow.trigger(DAG, alert="asset", processes="^worker 1 ", seconds=2)
        assert airflow.outcome(DAG, told) == "success"
        (flag,) = [task for task in airflow.tasks(DAG, told) if task["task_id"] == "flag_leaks"]
        assert flag["state"] == "success"
        events = airflow.api.get("assets/events", source_run_id=told)["asset_events"]
        assert [event["extra"]["leaks"] for event in events] == [[airflow.returned(DAG, told, "flag_leaks")[0]]]
        assert events[0]["extra"]["leaks"][0].startswith(f"worker 1 on {host()} leaks 6.")
