"""### Find processes that leak memory

Looks at every long-lived process of Airflow on this machine, judges each by its history, and profiles suspects.

| task | what it does |
| --- | --- |
| `look` | samples each process from outside, and asks the agent inside it for its counters |
| `judge` | `leaking`, `growing (watch)`, `steady`, `warming up` or `not enough data`, and why |
| `prove` | one mapped task a suspect: a window of tracing, the types that grow, the chain to what holds them |
| `flag_leaks` | fails once for each process that leaks, and names the line; or emits the asset `memory.leaks` |

**Rerun:** always safe.

**By hand:** the trigger form takes a regular expression for more processes, the hours that are looked back, the
seconds of a profile, and `force`: profile every process now.

**When `flag_leaks` fails:** read its log, or `millrace.memory_finding` and `millrace.memory_evidence`. It fails once;
the flag goes when the growth stops or the process is started anew.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

from include import bridge

leaks = Asset("memory.leaks")


@task
def look() -> None:
    from include.bridge import memory
    from include.memory import audit, history

    with memory.warehouse() as connection:
        counts = audit.look(connection, memory.patterns())
        history.forget(connection)
    bridge.report("looked", **counts)


@task
def judge() -> list[dict[str, Any]]:
    from include.bridge import memory
    from include.memory import audit

    params = memory.params()
    with memory.warehouse() as connection:
        suspected = audit.judge_all(connection, params["hours"], memory.limit_bytes(), params["force"])
    bridge.report("judged", to_be_profiled=len(suspected))
    return suspected


@task(map_index_template="{{ label }}")
def prove(process: dict[str, Any]) -> bool:
    from include.bridge import memory
    from include.memory import audit
    from include.memory.sample import Incarnation

    bridge.label(f"process {process['pid']}")
    with memory.warehouse() as connection:
        found = audit.prove(connection, Incarnation(**process), memory.params()["seconds"])
    bridge.report("profiled", pid=process["pid"], found=found is not None)
    return found is not None


@task(trigger_rule="none_failed", outlets=[leaks], retries=0)
def flag_leaks() -> list[str]:
    from include.bridge import memory
    from include.memory import audit, history

    with memory.warehouse() as connection:
        sentences = [audit.sentence(found) for found in history.flag(connection)]
    bridge.publish(leaks, {"leaks": sentences})
    if sentences and memory.params()["alert"] == "fail":
        memory.raise_alert(sentences)
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
        "owner": "platform",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "processes": Param(None, type=["null", "string"], title="Processes",
                           description="Also look at processes whose command line fits this regular expression"),
        "hours": Param(48, type="number", minimum=1, maximum=720, title="Hours", description="How far to look back"),
        "seconds": Param(30, type="number", minimum=1, maximum=300, title="Seconds", description="A profile's window"),
        "force": Param(False, type="boolean", title="Force", description="Profile every process now"),
        "alert": Param("fail", enum=["fail", "asset"], title="Alert",
                       description="Fail once for each new leak, or only emit the asset memory.leaks"),
    },
    is_paused_upon_creation=False,
)  # fmt: skip
def audit_memory() -> None:
    suspected = judge()
    look() >> suspected
    prove.expand(process=suspected) >> flag_leaks()


audit_memory()
