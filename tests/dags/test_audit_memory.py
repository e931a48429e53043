"""The memory audit on a real Airflow, its own processes and one that leaks."""

from __future__ import annotations

from pathlib import Path

from tests.dags.conftest import Airflow
from tests.memory.past import leaks, past
from tests.memory.programs import LEAKS, running

DAG = "audit_memory"
ROLES = {"scheduler", "executor-worker", "dag-processor", "triggerer", "api-server"}


def test_the_audit_sees_all_of_airflow_and_fails_once_for_a_leak(airflow: Airflow, tmp_path: Path) -> None:
    airflow.until(lambda: (airflow.api.get(f"dags/{DAG}") or {}).get("is_stale") is False, f"{DAG} to appear", 60)
    agents = airflow.settings.state / "memory"
    with running(LEAKS["global_list"], tmp_path, folder=agents) as program, airflow.warehouse() as warehouse:
        past(warehouse, program.incarnation, leaks)
        airflow.outcome(DAG, airflow.trigger(DAG, seconds=2))

        def failed() -> list[str]:
            runs = airflow.api.get(f"dags/{DAG}/dagRuns", limit=100)["dag_runs"]
            return [run["dag_run_id"] for run in runs if run["state"] == "failed"]

        airflow.until(failed, "a run that fails for the leak", 120)
        again = airflow.trigger(DAG, seconds=2)
        assert airflow.outcome(DAG, again) == "success", "it says so once"
        (flag,) = [task for task in airflow.tasks(DAG, again) if task["task_id"] == "flag_leaks"]
        assert flag["state"] == "skipped", "no asset event for nothing"
        (run,) = failed()
        said = airflow.log(DAG, run, "flag_leaks")
        assert f"worker {program.incarnation.pid} on {program.incarnation.host} leaks" in said
        assert "Held by module __main__ > .ORDERS list" in said
        assert f"Allocated at {program.source}:" in said
        told = (airflow.folder / "told.txt").read_text()
        assert told.count("leaks") == 1, "the notifier of the environment was called once"
        assert f"worker {program.incarnation.pid}" in told

        def all_counted() -> bool:
            rows = warehouse.execute("SELECT DISTINCT role FROM millrace.memory_sample WHERE counters IS NOT NULL")
            return {role for (role,) in rows} >= ROLES

        airflow.until(all_counted, "a look into every kind of process", 180)
