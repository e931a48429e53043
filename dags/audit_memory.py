"""### Find processes that leak memory

Every machine has a watcher, which samples Airflow's long-lived processes once a minute. This DAG judges each process by
its history, and has suspects profiled by the watcher of their machine.

| task | what it does |
| --- | --- |
| `judge` | `leaking`, `growing (watch)`, `steady`, `warming up` or `not enough data`, and why |
| `prove` | one mapped task a suspect: a window of tracing, the types that grow, the chain to what holds them |
| `flag_leaks` | fails once for each process that leaks, and names the line; or emits the asset `memory.leaks` |

**Rerun:** always safe.

**By hand:** the trigger form takes a regular expression that chooses processes by role, id and host, the hours that are
looked back, a profile's seconds and depth, and `force`: profile every chosen process now.

**When `flag_leaks` fails:** read its log, or the page Memory. It fails once a leak; the flag goes when the growth stops
or the process is restarted. With nothing new to say it is skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

from include import bridge, slots
from include.bridge import clock, memory, notify, reasons

leaks = Asset("memory.leaks")


@task
def judge() -> list[dict[str, Any]]:
    from include.memory import audit, history
    from include.memory.errors import MemoryAuditError

    params = memory.params()
    with memory.warehouse() as connection:
        try:
            suspected = audit.judge_all(
                connection, params["hours"], only=params["processes"], forced=bool(params["force"])
            )
        except MemoryAuditError as fault:
            raise memory.give_up(str(fault)) from fault
        bridge.report("judged", **history.verdicts(connection), to_be_profiled=len(suspected))
    return suspected


@task(map_index_template="{{ label }}")
def prove(process: dict[str, Any]) -> bool:
    from include.memory import audit
    from include.memory.watcher.sample import Incarnation

    params = memory.params()
    bridge.label(f"process {process['pid']} on {process['host']}")
    with memory.warehouse() as connection:
        fault = audit.prove(connection, Incarnation(**process), params["seconds"], params["depth"])
    bridge.report("profiled", pid=process["pid"], host=process["host"], fault=fault)
    return fault is None


@task(trigger_rule="none_failed", outlets=[leaks])
def flag_leaks() -> list[str]:
    from include.memory import audit, history

    with memory.warehouse() as connection:
        sentences = [audit.sentence(found) for found in history.flag(connection, memory.run_id())]
    if not sentences:
        raise memory.nothing_to_say()
    bridge.publish(leaks, {"leaks": sentences})
    if memory.params()["alert"] == "fail":
        raise memory.give_up("\n".join(sentences))
    return sentences


@dag(
    description="Processes that leak memory, and the line that does it",
    doc_md=__doc__,
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["memory"],
    default_args={
        **slots.place("memory"),
        "on_retry_callback": clock.say_if_ahead,
        "on_failure_callback": [reasons.say, notify.on_failure()],
        "retry_policy": reasons.NoRetry(),
        "priority_weight": 10,  # its pool is small, its tasks are short; no DAG of others is to hold it up
        "owner": "platform",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "processes": Param(None, type=["null", "string"], title="Processes",
                           description="Only processes whose `role pid host` matches this regular expression"),
        "hours": Param(48, type="number", minimum=1, maximum=720, title="Hours", description="How far to look back"),
        "seconds": Param(30, type="number", minimum=1, maximum=300, title="Seconds", description="A profile's window"),
        "depth": Param(8, type="integer", minimum=1, maximum=50, title="Depth", description="Frames of a traceback"),
        "force": Param(False, type=["null", "boolean"], title="Force", description="Profile every chosen process now"),
        "alert": Param("fail", enum=["fail", "asset"], title="Alert",
                       description="Fail once for each new leak, or only emit the asset memory.leaks"),
    },
    is_paused_upon_creation=False,
)  # fmt: skip
def audit_memory() -> None:
    prove.expand(process=judge()) >> flag_leaks()


audit_memory()
