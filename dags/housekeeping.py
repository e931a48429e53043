"""### Delete what is old

Once a night. Each task says in its log how many it deleted, and returns it. How long each is kept is a setting
(`MILLRACE_KEEP_…_DAYS`, 0 for ever).

| task | what it deletes | kept, in days |
| --- | --- | --- |
| `find_warehouses` | nothing: it names the databases that hold a ledger | |
| `forget_ledger` | one mapped task a database: rejected rows that need nobody; runs that no later run is compared with; requests for replays | 90; 365 |
| `forget_memory` | samples, verdicts and evidence of the memory audit | 30 |
| `forget_swept` | what is remembered of swept files whose pictures were deleted | |
| `forget_logs` | logs of tasks and of the DAG processor, in the log folder of the worker and in the bucket of `MILLRACE_LOGS` | for ever; 30 in compose file and chart |
| `account` | nothing: it sums up | |

Never deleted: tables that datasets load and what is known of them, pictures, files of the inbox, the last run of each
dataset that did not fail, runs under way, and, unless `MILLRACE_KEEP_OPEN_REJECTED_DAYS` says so, rejected rows that are open.

Airflow's own metadata is no task's to clean, as tasks have no way to it: the service `cleaner` does it.

**Rerun:** always safe. It deletes in small transactions, so nobody waits for it, and one that was killed goes on the
next night.

**When it fails:** the database or the bucket is away. Nothing is lost but time. A database that was not migrated is
warned of by name, with the command that migrates it, and fails nothing.
"""  # noqa: E501

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronTriggerTimetable, dag, task

from include import bridge, slots
from include.bridge import clock, notify, reasons
from include.bridge import housekeeping as keeping


@task
def find_warehouses() -> list[str]:
    return keeping.warehouses()


@task(map_index_template="{{ label }}")
def forget_ledger(conn_id: str) -> dict[str, int]:
    bridge.label(f"database {conn_id}")
    try:
        deleted = keeping.forget_ledger(conn_id)
    except keeping.NotMigrated as fault:  # no retry can help, and the others are to be cleaned
        bridge.warn(str(fault))
        notify.warn(str(fault))
        return {}
    bridge.report("deleted", database=conn_id, **deleted)
    return deleted


@task
def forget_memory() -> dict[str, int]:
    deleted = keeping.forget_memory()
    bridge.report("deleted", **deleted)
    return deleted


@task
def forget_swept() -> dict[str, int]:
    deleted = keeping.forget_swept()
    bridge.report("deleted", **deleted)
    return deleted


@task
def forget_logs() -> dict[str, int]:
    deleted = keeping.forget_logs()
    bridge.report("deleted", **deleted)
    return deleted


@task
def account(ledgers: list[dict[str, int]], others: list[dict[str, int]]) -> dict[str, int]:
    total = keeping.total([*ledgers[:], *others])
    bridge.report("account", **total)
    notify.well()
    return total


@dag(
    description="Deletes what is old: rejected rows, the ledger, logs, samples",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("40 3 * * *", timezone="UTC"),  # after the night's files, as most come at midnight
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["housekeeping"],
    default_args={
        **slots.place("ingest"),
        "on_retry_callback": clock.say_if_ahead,
        "on_failure_callback": [reasons.say, notify.on_failure()],
        "retry_policy": reasons.NoRetry(),
        "owner": "platform",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=2),
    },
    is_paused_upon_creation=False,
)
def housekeeping() -> None:
    ledgers = forget_ledger.expand(conn_id=find_warehouses())
    account(ledgers, [forget_memory(), forget_swept(), forget_logs()])  # type: ignore[arg-type, list-item]


housekeeping()
