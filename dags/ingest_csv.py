"""### Ingest a CSV file into PostgreSQL

One DAG `ingest_<name>` for each dataset file `<name>.yaml` in a folder that `$MILLRACE_DATASETS` names, by default
`include/datasets`. A run takes the file of its data interval, cuts it into chunks, loads them in parallel into a
staging table and merges that into the target.

| task | what it does |
| --- | --- |
| `plan` | waits for the file, skips one that was ingested before, cuts it, decides which rows win, finds known rows |
| `load` | one mapped task a chunk: parse, clean, check, copy; bad rows go to `millrace.rejected_row` |
| `merge` | one transaction: upsert, balance the account |
| `account` | says what happened, emits the asset event, cleans up after a failure |

A file of up to 16 MB is loaded and merged by `plan` itself, as that takes less time than starting a task; `load` and
`merge` are skipped then, as they are when the file was already ingested.

**Rerun:** always safe. Any task may be retried or cleared at any time; clearing `plan` restarts the run.
A run that is done stays done unless `force` is ticked.

**By hand:** the trigger form takes another path, chunk size and limits. The path lies below the inbox or what
`$MILLRACE_ROOTS` lists. If it is not there, the run fails at once; only what the schedule expects is waited for.
A logical date stands for the data interval
that holds it: the run has the file and the version of that interval's scheduled run. **Backfill:**
`airflow backfill create --dag-id ingest_orders --from-date 2026-01-01 --to-date 2026-01-31` (on the local stack
`./run airflow …`), once the DAG is unpaused: a new one is paused. An older file never overwrites rows of a newer one.

**When it fails:** the note of the run, the last lines of the failed task's log, and `reason` in `millrace.ingest_run`
name the file and line, or the difference, and what to do. The target is as it was before the run. Rejected rows are in
`millrace.rejected_row` under the run's id.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param, PokeReturnValue, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable

from include import bridge, slots
from include.bridge import clock, freshness, ingest, notify, reasons
from include.ingest.dataset.definition import Dataset


def ingest_csv(dataset: Dataset) -> DAG:
    """The DAG of one dataset."""
    table = Asset(f"{dataset.postgres_conn_id}.{dataset.schema_name}.{dataset.table_name}")

    # `look` ends the wait in plain words; the sensor's own time-out is only a net below it.
    @task.sensor(mode="reschedule", poke_interval=30, timeout=dataset.wait_timeout_seconds + 600, priority_weight=2)
    def plan() -> PokeReturnValue:
        from include.ingest import plan as planning
        from include.ingest import run as running

        order = ingest.look(dataset)
        if order is None:
            return PokeReturnValue(is_done=False)
        with ingest.warehouse(dataset) as connection:
            planned = planning.plan(connection, ingest.with_params(dataset), order)
            small = planning.is_small(planned, order)
            if small:
                running.finish(connection, ingest.with_params(dataset), planned)
        bridge.report("planned", run_id=planned.run_id, file=planned.path, bytes=planned.size, form=planned.form,
                      chunks=len(planned.chunks), skipped=planned.skipped,
                      ignored_columns=",".join(planned.ignored) or "none")  # fmt: skip
        return PokeReturnValue(is_done=True, xcom_value=[] if small else [chunk.number for chunk in planned.chunks])

    @task(max_active_tis_per_dag=dataset.parallel, map_index_template="{{ label }}", trigger_rule="none_failed")
    def load(number: int) -> dict[str, int]:
        from include.ingest import load as loading
        from include.ingest.plan import read_plan

        with ingest.warehouse(dataset) as connection:
            planned = read_plan(connection, ingest.run_id(), ingest.storage())
            chunk = planned.chunks[number]
            bridge.label(ingest.label(planned, number))
            counts = loading.load_chunk(connection, ingest.with_params(dataset), planned, chunk)
        bridge.report("loaded", chunk=number, bytes=chunk.length, **counts)
        return counts

    @task(trigger_rule="none_failed_min_one_success", priority_weight=3)
    def merge() -> None:
        from include.ingest import merge as merging
        from include.ingest.plan import read_plan

        with ingest.warehouse(dataset) as connection:
            planned = read_plan(connection, ingest.run_id(), ingest.storage())
            merging.merge(connection, ingest.with_params(dataset), planned)

    @task(trigger_rule="all_done", outlets=[table], priority_weight=4,
          on_failure_callback=[reasons.say, notify.on_failure(dataset)])  # fmt: skip
    def account() -> dict[str, Any]:
        from include.ingest.concerns import concerns
        from include.ingest.run import close

        with ingest.warehouse(dataset) as connection:
            result = close(connection, ingest.run_id(), ingest.storage())
        bridge.report("account", **result.as_dict())
        bridge.warn(result.warning())
        bridge.publish(table, result.as_dict())
        notify.warn(concerns(result, ingest.with_params(dataset).reject_limit), dataset)
        notify.well(dataset)
        return result.as_dict()

    @dag(
        dag_id=f"ingest_{dataset.name}",
        description=dataset.description or f"{dataset.source} into {dataset.target}",
        doc_md=__doc__,
        schedule=CronDataIntervalTimetable(dataset.schedule, timezone="UTC") if dataset.schedule else None,
        start_date=_midnight(dataset.start_date),
        # Its last moment: a run for a later one would do nothing and be a success.
        end_date=_midnight(dataset.end_date) + timedelta(days=1, microseconds=-1) if dataset.end_date else None,
        catchup=dataset.catchup,
        max_active_runs=4,  # a file that is late does not hold up the others; merges queue by themselves
        tags=["ingest", *dataset.tags],
        default_args={
            **slots.place("ingest"),
            "on_retry_callback": clock.say_if_ahead,
            "on_failure_callback": reasons.say,
            "retry_policy": reasons.NoRetry(),
            "owner": dataset.owner,
            "retries": 3,
            "retry_delay": timedelta(seconds=10),
            "retry_exponential_backoff": True,
            "execution_timeout": timedelta(hours=2),
        },
        params=_form(dataset),
        deadline=freshness.deadline(dataset),
        is_paused_upon_creation=True,
    )
    def wiring() -> None:
        load.expand(number=plan()) >> merge() >> account()

    return wiring()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _form(dataset: Dataset) -> dict[str, Param]:
    limit = dataset.reject_limit
    form = {
        "path": Param(None, type=["null", "string"], title="File", description=_which_file(dataset)),
        "force": Param(False, type=["null", "boolean"], title="Force",
                       description="Ingest the file even if its content was already ingested"),
        "chunk_bytes": Param(None, type=["null", "integer"], minimum=1, title="Chunk size in bytes",
                             description=f"Empty: {dataset.chunk_bytes:,}"),
        "reject_rows": _rows_limit("Reject limit, rows", limit.rows),
        "reject_ratio": _ratio_limit("Reject limit, ratio", limit.ratio),
    }  # fmt: skip
    if dataset.mode == "replace":
        form["delete_rows"] = _rows_limit("Delete limit, rows", dataset.delete_limit.rows)
        form["delete_ratio"] = _ratio_limit("Delete limit, ratio", dataset.delete_limit.ratio)
    return form


def _which_file(dataset: Dataset) -> str:
    held = f"the data interval ({dataset.schedule}, UTC) that holds the logical date" if dataset.schedule else (
        "the logical date itself"
    )  # fmt: skip
    return (
        f"Path or URL of a file. Empty: {ingest.shown_source(dataset)}, with the dates of {held}."
        f" {ingest.shown_example(dataset)} A path changes the file, not the version, and rows of newer versions win."
        " Without a logical date, give a path: its rows have the version of the last complete interval"
    )


def _rows_limit(title: str, rows: int | None) -> Param:
    said = "no limit" if rows is None else f"{rows:,}"
    return Param(None, type=["null", "integer"], minimum=0, title=title, description=f"Empty: {said}")


def _ratio_limit(title: str, ratio: float | None) -> Param:
    said = "no limit" if ratio is None else f"{ratio:g}"
    return Param(None, type=["null", "number"], minimum=0, maximum=1, title=title, description=f"0 to 1. Empty: {said}")


for found in ingest.datasets():
    globals()[f"ingest_{found.name}"] = ingest_csv(found)
