"""A DAG for test_memory_tasks.py, which puts it into the stack's folder: one task of every way to take and to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, Context, dag, task
from airflow.sdk.exceptions import AirflowSkipException

KEPT: list[bytearray] = []


class Defers(BaseOperator):
    def execute(self, context: Context) -> None:
        touched(120)
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context: Context, event: Any = None) -> None:
        return None


def touched(megabytes: int) -> bytearray:
    taken = bytearray(megabytes * 1_000_000)
    taken[::4096] = b"x" * len(taken[::4096])
    return taken


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, default_args={"retries": 0})
def takes_memory() -> None:
    @task
    def peak() -> None:
        touched(150)

    @task
    def keep() -> None:
        KEPT.append(touched(60))

    @task
    def small(number: int) -> int:
        return number

    @task
    def skip() -> None:
        raise AirflowSkipException("not today")

    @task
    def fail() -> None:
        raise ValueError("broken")

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def again(ti: Any = None) -> None:
        if ti.try_number == 1:
            raise ValueError("the first time")

    @task.sensor(mode="reschedule", poke_interval=6, timeout=300)
    def wait(dag_run: Any = None) -> bool:
        return bool(datetime.now(UTC) > dag_run.start_date + timedelta(seconds=8))

    peak(), keep(), small.expand(number=[0, 1]), skip(), fail(), again(), wait(), Defers(task_id="defer")


takes_memory()
