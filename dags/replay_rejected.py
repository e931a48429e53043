"""### Replay rejected rows

Somebody asks for it on the page Ingest: rows that were corrected, or all of a run or filter after a rule was relaxed.
The request stands in `millrace.replay_request` with who asked and when; a run of this DAG does one request.

| task | what it does |
| --- | --- |
| `replay` | for each run of the ledger that has such rows: the same checks, the version of that run, one transaction |
| `account` | says what became of them, emits the event of the table's asset, closes a request whose task died |

**Rerun:** always safe. A row is replayed once: a second try finds those that are still open.

**By hand:** not by the trigger form, which knows no one who asked. Use the page, or `./run ingest replay`. Whoever may
start runs of `ingest_<dataset>` may replay its rows on the page; nobody needs a right on this DAG for it.

**When it fails:** the note of the run, and the page, say why. Nothing was changed for the run of the ledger that is
named: its rows are open, and can be replayed again when that is mended.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import AssetAlias, Param, dag, task

from include import bridge, slots
from include.bridge import clock, notify, reasons, replays

tables = AssetAlias("replayed_rows")


@task(priority_weight=2)
def replay() -> dict[str, Any]:
    done = replays.work()
    bridge.report("replayed", **done)
    return done


@task(trigger_rule="all_done", outlets=[tables], priority_weight=4)
def account(done: dict[str, Any] | None) -> dict[str, int]:
    counts = replays.close()
    bridge.report("account", **counts)
    replays.publish(tables, done)
    notify.well()
    return counts


@dag(
    description="Rejected rows once more, as somebody asked on the page Ingest",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,  # replays of one table queue up by themselves; those of others need not wait
    tags=["ingest"],
    default_args={
        **slots.place("ingest"),
        "on_retry_callback": clock.say_if_ahead,
        "on_failure_callback": [reasons.say, notify.on_failure()],
        "retry_policy": reasons.NoRetry(),
        "owner": "data",
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=2),
    },
    params={"request": Param(None, type="string", title="Request",
                             description="Id of the request in millrace.replay_request; the page Ingest gives it")},
    is_paused_upon_creation=False,
)  # fmt: skip
def replay_rejected() -> None:
    account(replay())  # type: ignore[arg-type]


replay_rejected()
