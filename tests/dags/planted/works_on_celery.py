"""A DAG for test_celery_audit.py, which puts it into the stack's folder: short tasks on Celery's workers."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, task


@dag(
    schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False,
    params={"seconds": Param(4, type="number")},
    default_args={"executor": "airflow.providers.celery.executors.celery_executor.CeleryExecutor", "retries": 0},
)  # fmt: skip
def works_on_celery() -> None:
    @task
    def plan(params: Any = None) -> list[int]:
        return list(range(int(params["seconds"])))

    @task
    def work(number: int) -> int:
        time.sleep(0.5)
        return number

    work.expand(number=plan())


works_on_celery()
