"""### Make a dataset of any CSV file, and load it

For a file that has no dataset yet: give its path, look at what was found, then have dataset and table made, and the
file loaded. It has no schedule.

| `action` | what happens |
| --- | --- |
| `look` | reads every row, finds delimiter, encoding, types and key, shows the first rows; writes nothing |
| `create` | the same, then writes the dataset file into a folder of `$MILLRACE_DATASETS` and creates the table |
| `ingest` | the same, then loads the file |

| task | what it does |
| --- | --- |
| `describe` | all but the load |
| `load` | loads the file, with the version of the day in its name, or else of the last complete interval |
| `account` | says what happened, emits the asset event, cleans up after a failure |

**Where to look:** the note of the run says what was found, and what to do next. The log of `describe` has the whole
dataset file, the first rows, and what a run would reject, by rule. XCom `found` has the figures.

**Afterwards:** Airflow finds the dataset within a minute or so and has a DAG `ingest_<name>` of it. That is paused:
unpause it by the switch on its page or by `airflow dags unpause ingest_<name>`. See that `source`, `schedule` and the
types in the dataset file are what you want before you do.

**Nothing is guessed silently.** `create` and `ingest` refuse what is ambiguous, as whether `01/02/2026` is in January:
`dates`, `decimal_mark` and `key` settle it, `accept` takes it as it was read. Where no key is found, name one, or tick
`append`. They also refuse a table that holds rows of somebody else's, and a dataset file that is there is never
overwritten.

**Rerun:** always safe. Any task may be retried or cleared at any time: a dataset file is there whole or not at all, and
a file that was loaded is not loaded twice.

**When it fails:** the note of the run and the last lines of the log say why, and what to do. Where the folder of
dataset files can't be written, as in an image, copy the dataset file out of the log of `describe` and deploy it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from include import bridge, slots
from include.bridge import clock, ingest, new_file, notify, reasons


@task.short_circuit(on_success_callback=new_file.say)
def describe() -> bool:
    goes_on = new_file.describe()
    if not goes_on:
        notify.well()  # else `account` says so
    return goes_on


@task
def load() -> None:
    from include.ingest import plan as planning
    from include.ingest import run as running

    dataset = new_file.dataset()
    with ingest.warehouse(dataset) as connection:
        planned = planning.plan(connection, dataset, new_file.order(new_file.asked(), dataset))
        running.finish(connection, dataset, planned)
    bridge.report("loaded", run_id=planned.run_id, file=planned.path, bytes=planned.size, skipped=planned.skipped)


# After `load`, however it ended, but not where `describe` failed: then its reason is the run's.
@task(trigger_rule="all_done_min_one_success", outlets=[new_file.loaded], on_success_callback=new_file.say)
def account() -> dict[str, Any]:
    from include.ingest.run import close

    with ingest.warehouse(new_file.dataset()) as connection:
        result = close(connection, ingest.run_id(), ingest.storage())
    bridge.report("account", **result.as_dict())
    bridge.warn(result.warning())
    new_file.publish(result)
    notify.well()
    return result.as_dict()


@dag(
    description="A dataset of any CSV file: look at it, create it, load it",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,  # a large file does not hold up a look at a small one; two of one name queue up
    tags=["ingest"],
    default_args={
        **slots.place("ingest"),
        "on_retry_callback": clock.say_if_ahead,
        "on_failure_callback": [reasons.say, notify.on_failure()],
        "retry_policy": reasons.NoRetry(),
        "priority_weight": 2,  # a person waits for it
        "owner": "data",
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=2),
    },
    params={
        "file": Param(type="string", minLength=1, title="File",
                      description="Path of a file as the workers see it, or a URL (s3://connection@bucket/…, https://),"
                      " below the inbox or what $MILLRACE_ROOTS lists; also compressed with gzip or zstd"),
        "action": Param("look", enum=["look", "create", "ingest"], title="What to do",
                        description="look: write nothing. create: make dataset file and table. ingest: load it, too"),
        "name": Param(None, type=["null", "string"], title="Name",
                      description="Of dataset, table and DAG. Empty: the file's name, without dates"),
        "key": Param(None, type=["null", "string"], title="Key",
                     description="Columns that identify a row, with commas between them. Empty: as found"),
        "dates": Param("as found", enum=list(new_file.DATES), title="Dates",
                       description="How dates are read that can be read both ways, as 01/02/2026"),
        "decimal_mark": Param("as found", enum=list(new_file.MARKS), title="Decimal mark",
                              description="Of numbers that can be read both ways, as 1.234"),
        "accept": Param(False, type=["null", "boolean"], title="Accept",
                        description="Take what is still ambiguous as it was read, see `look`"),
        "append": Param(False, type=["null", "boolean"], title="Append",
                        description="Where no column identifies a row, have each run add all rows of its file"),
    },
    is_paused_upon_creation=False,
)  # fmt: skip
def ingest_file() -> None:
    described = describe()
    ended = account()
    described >> load() >> ended
    described >> ended


ingest_file()
