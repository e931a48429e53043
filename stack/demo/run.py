"""`./run demo`: an orders file through the stack and the account of the run, some pictures, two workers.

The first demo ingests yesterday's file; each later one a new export of today's, in which ten per cent more of
the rows changed and one per cent more are new, so that its account shows updated, unchanged and inserted rows.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from include.ingest.dataset import places
from include.ingest.errors import DatasetError
from samples.orders import Shape, rows_for, write
from stack import commands
from stack.api import AirflowApi
from stack.demo.follow import follow, stage_of
from stack.demo.images import demo_images
from stack.demo.memory import demo_memory
from stack.errors import StackError
from stack.settings import Settings, state_folder

DAG = "ingest_orders"
DAG_SECONDS = 120.0
BROKEN_SECONDS = 30.0
# A small file fits one chunk; several make the work in parallel visible, and the bar move.
CHUNKS = 4
LEAST_CHUNK_BYTES = 4_000_000
LARGE_MB = 1000.0  # from which on the work, and not the start of tasks, decides the speed
COUNTS = ("read", "inserted", "updated", "unchanged", "superseded", "rejected")


@dataclass(frozen=True)
class Slot:
    """The day whose file is ingested, the run's logical date, and a run that already waits for that file."""

    day: str
    logical_date: datetime
    interval_end: datetime
    waiting_run: str | None = None


def demo(megabytes: float, *, once: bool) -> int:
    """Run it and return the exit code. A stack that this demo started ends with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    _check_datasets()
    was_up = state_folder().is_dir() and commands.is_up(Settings.load())
    try:
        settings = commands.up()
        api = AirflowApi(settings)
        api.login()
        done = _ingest(console, settings, api, megabytes) and demo_images(console, api)
        done = done and demo_memory(console, settings)
        console.print(_end(settings, stays=was_up or not once), soft_wrap=True)
        if not once:
            _wait(console)
        return 0 if done else 1
    finally:
        if not was_up:
            commands.down()


def _check_datasets() -> None:
    """Raise StackError where the dataset of the demo is not among the user's."""
    try:
        places.find("orders")
    except DatasetError as fault:
        raise StackError(f"the demo ingests dataset orders: {fault}; unset $MILLRACE_DATASETS for it") from None


def _end(settings: Settings, *, stays: bool) -> str:
    """Where everything is; of a stack that stops now, only what is left of it and how to see the rest."""
    if not stays:
        return (
            f"The stack stops now. Its data stays in {settings.state}: ./run up starts it again and prints the pages'"
            " addresses and the login"
        )
    pages = {"ingest": f"dags/{DAG}", "images": "plugin/images", "memory": "plugin/memory"}
    rows = (f"  {name:<15} {settings.url}/{page}" for name, page in pages.items())
    return "\n".join([commands.describe(settings), *rows])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wait(console: Console) -> None:
    console.print("Ctrl-C ends the demo.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print()


def _ingest(console: Console, settings: Settings, api: AirflowApi, megabytes: float) -> bool:
    _await_dag(api)
    slot = _choose(api, settings.inbox)
    earlier = api.get(f"dags/{DAG}/dagRuns", state="success", limit=1)["total_entries"]
    size_bytes = _write_file(console, _file(settings.inbox, slot.day), megabytes, earlier)
    run_id = slot.waiting_run or _trigger(api, slot, max(LEAST_CHUNK_BYTES, size_bytes // CHUNKS))
    api.patch(f"dags/{DAG}", {"is_paused": False})
    outcome = follow(console, settings.database_url("warehouse"), f"{DAG}/{run_id}", _state_of(api, run_id))
    if outcome == "success":
        _show_account(console, api, run_id)
        return True
    console.print(_explain(api, settings, run_id), soft_wrap=True)
    return False


def _await_dag(api: AirflowApi) -> None:
    """Wait until Airflow shows the DAG; a file that does not import gets a short while, as one may just be saved."""
    began = time.monotonic()
    waited, reason = 0.0, ""
    while waited < (BROKEN_SECONDS if reason else DAG_SECONDS):
        found = api.get(f"dags/{DAG}")
        if found and not found.get("is_stale"):
            return
        time.sleep(1)
        waited = time.monotonic() - began
        errors = api.get("importErrors", limit=1)["import_errors"]
        reason = f"{errors[0]['filename']}: {errors[0]['stack_trace'].strip().splitlines()[-1]}" if errors else ""
    raise StackError(f"Airflow does not show DAG {DAG} after {waited:.0f} s. {reason or 'It knows no import error.'}")


def _choose(api: AirflowApi, inbox: Path) -> Slot:
    """Yesterday if its run is still to come or waits for its file, else a fresh export of today's."""
    now = datetime.now(UTC).replace(microsecond=0)
    today = now.replace(hour=0, minute=0, second=0)
    yesterday = today - timedelta(days=1)
    day = f"{yesterday:%Y-%m-%d}"
    stamp = yesterday.isoformat()
    runs = api.get(f"dags/{DAG}/dagRuns", logical_date_gte=stamp, logical_date_lte=stamp)["dag_runs"]
    if not runs:
        return Slot(day, yesterday, today)
    if runs[0]["state"] in ("queued", "running") and not _file(inbox, day).exists():
        return Slot(day, yesterday, today, runs[0]["dag_run_id"])
    return Slot(f"{today:%Y-%m-%d}", now, now + timedelta(seconds=1))


def _file(inbox: Path, day: str) -> Path:
    return inbox / "orders" / f"orders_{day}.csv"


def _write_file(console: Console, target: Path, megabytes: float, earlier: int) -> int:
    """Write under another name and rename: the DAG must never see half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shape = Shape(rows_for(megabytes * 1e6), changed=min(0.1 * earlier, 1.0), new=0.01 * earlier)
    began = time.monotonic()
    fresh = target.with_name(f".{target.name}.new")
    try:
        with fresh.open("wb") as out:
            held = write(out, shape)
        fresh.replace(target)
    except OSError as fault:
        fresh.unlink(missing_ok=True)
        raise StackError(f"could not write {target}: {fault.strerror}") from fault
    seconds = time.monotonic() - began
    console.print(f"  wrote {target.name}: {held['bytes'] / 1e6:,.0f} MB, {held['rows']:,} rows, {seconds:.1f} s")
    return held["bytes"]


def _trigger(api: AirflowApi, slot: Slot, chunk_bytes: int) -> str:
    body = {
        "logical_date": slot.logical_date.isoformat(),
        "data_interval_start": slot.logical_date.isoformat(),
        "data_interval_end": slot.interval_end.isoformat(),
        "conf": {"chunk_bytes": chunk_bytes},
    }
    return str(api.post(f"dags/{DAG}/dagRuns", body)["dag_run_id"])


def _state_of(api: AirflowApi, run_id: str) -> Callable[[], tuple[str, str]]:
    path = f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}"

    def look() -> tuple[str, str]:
        state = str(api.get(path)["state"])
        return state, stage_of(api.get(f"{path}/taskInstances", limit=100)["task_instances"])

    return look


def _show_account(console: Console, api: AirflowApi, run_id: str) -> None:
    path = f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances/account/xcomEntries/return_value"
    entry = api.get(path)
    value: Any = {} if entry is None else entry["value"]
    account = json.loads(value) if isinstance(value, str) else value
    console.print(f"\n{DAG}: {account.get('status', 'no account')}", style="bold")
    table = Table(box=None, padding=(0, 1), collapse_padding=True)
    for name in (*COUNTS, "seconds", "MB/s"):
        table.add_column(name, justify="right", no_wrap=True)
    seconds = float(account.get("seconds") or 0)
    speed = f"{account.get('bytes', 0) / 1e6 / seconds:,.0f}" if seconds else "-"
    table.add_row(*(f"{account.get(name, 0):,}" for name in COUNTS), f"{seconds:.1f}", speed)
    console.print(table, _why_slow(account.get("bytes", 0) / 1e6), "", sep="\n", soft_wrap=True)


def _why_slow(megabytes: float) -> str:
    """What to make of the speed of a small file."""
    if megabytes >= LARGE_MB:
        return ""
    return (
        "  The MB/s are those of a small file: most of the seconds are Airflow starting tasks."
        f" ./run demo --mb {LARGE_MB:.0f} shows the speed"
    )


def _explain(api: AirflowApi, settings: Settings, run_id: str) -> str:
    """One line: the task that failed, its last error, its log."""
    instances = api.get(f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances", limit=100)["task_instances"]
    failed = [item["task_id"] for item in instances if item["state"] == "failed"]
    folder = settings.logs / "tasks" / f"dag_id={DAG}" / f"run_id={run_id}"
    logs = sorted(folder.glob(f"task_id={failed[0]}/**/*.log")) if failed else []
    reason = _last_error(logs[-1]) if logs else ""
    return f"run: the ingest failed in {', '.join(failed) or 'no task'}: {reason} (log: {logs[-1] if logs else folder})"


def _last_error(log: Path) -> str:
    for line in reversed(log.read_text(errors="replace").splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") in ("error", "critical"):
            details = entry.get("error_detail") or [{}]
            return f"{entry.get('event', '')} {details[0].get('exc_value', '')}".strip()
    return "no error in its log"
