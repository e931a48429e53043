"""A real Airflow for these tests: the local stack, run from a copy of the project with the tests' own datasets."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote

import psutil
import psycopg
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from stack.api import AirflowApi
from stack.ports import free_port, scratch_folder
from stack.processes import Register
from stack.project import copy_project
from stack.settings import Settings
from tests.images import pictures, places
from tests.memory import story
from tests.waiting import PATIENCE_SECONDS, appeared, until

REPOSITORY = Path(__file__).parents[2]
PLANTED = Path(__file__).parent / "planted"  # DAGs and a notifier that tests put into the stack
SCREENSHOTS = os.environ.get("MILLRACE_SCREENSHOTS")  # a folder to keep the pictures in
METRICS_TOKEN = "asks-for-figures"
LOGS = "logs/tasks"  # bucket and prefix
EACH_TEN_MINUTES = 'schedule="*/10 * * * *",'
# Reading all DAG files every 20 s takes a sixth of a core. A test that changes dataset files says so: `read_again`.
SELDOM = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600"}
DAILY = "daily.png"  # lies in the inbox before the first daily run
DATASET = """
name: {name}
source: "{{{{ inbox }}}}/{name}/{name}_{{{{ {date} }}}}.csv"
target: public.{name}
key: [id]
columns:
  id: {{type: bigint}}
  label: {{type: text, nullable: true}}
  price: {{type: "numeric(8,2)", nullable: true, min: 0}}
reject_limit: {{rows: 1, ratio: null}}
start_date: 2026-03-01
parallel: 2
{more}
"""


@dataclass
class Airflow:
    """The running stack, and what the tests ask of it."""

    folder: Path
    settings: Settings
    api: AirflowApi = field(init=False)

    def __post_init__(self) -> None:
        self.api = AirflowApi(self.settings)
        self.api.login()

    def add_dataset(self, name: str, more: str = "schedule: null", date: str = "ds") -> str:
        """Write a dataset file, wait for its DAG, and unpause it. `date` names the day's file. Returns the DAG's id."""
        text = DATASET.format(name=name, more=more, date=date)
        (self.folder / "include" / "datasets" / f"{name}.yaml").write_text(text)
        self.read_again()
        dag = f"ingest_{name}"
        appeared(self.api, dag)
        self.api.patch(f"dags/{dag}", {"is_paused": False})
        return dag

    def read_again(self) -> None:
        """Have dataset files read now: a DAG file that changed is read at once, any other much later."""
        for name in ("ingest_csv.py", "check_datasets.py"):
            os.utime(self.folder / "dags" / name)

    def deliver(self, name: str, day: str, text: str) -> Path:
        """Put a file into the inbox, whole."""
        target = self.settings.inbox / name / f"{name}_{day}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        fresh.write_text(text)
        return fresh.replace(target)

    def trigger(self, dag: str, day: str | None = None, **conf: Any) -> str:
        """Start a run by hand, as the trigger form does."""
        body = {"logical_date": f"{day}T00:00:00Z" if day else None, "conf": conf}
        return str(self.api.post(f"dags/{dag}/dagRuns", body)["dag_run_id"])

    def trigger_at(self, dag: str, instant: str) -> str:
        """Start a run by hand for a logical date at any time of a day."""
        return str(self.api.post(f"dags/{dag}/dagRuns", {"logical_date": instant, "conf": {}})["dag_run_id"])

    def ledger(self, dag: str, run_id: str, columns: LiteralString = "status, file, reason") -> tuple[Any, ...]:
        """What the warehouse's ledger says of a run."""
        query = f"SELECT {columns} FROM millrace.ingest_run WHERE airflow_run = %s"
        with self.warehouse() as connection:
            rows = connection.execute(query, [f"{dag}/{run_id}"]).fetchall()
        assert len(rows) == 1
        return rows[0]

    def outcome(self, dag: str, run_id: str) -> str:
        """Wait for a run's end and return its state."""
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}"
        until(lambda: self.api.get(path)["state"] in ("success", "failed"), f"{run_id} to end")
        return str(self.api.get(path)["state"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances."""
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return list(self.api.get(path, limit=100)["task_instances"])

    def account(self, dag: str, run_id: str) -> dict[str, Any]:
        """What task `account` returned."""
        return dict(self.returned(dag, run_id, "account"))

    def returned(self, dag: str, run_id: str, task: str) -> Any:
        """What a task returned."""
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/xcomEntries/return_value"
        return self.api.get(path, deserialize=True)["value"]

    def log(self, dag: str, run_id: str, task: str) -> str:
        """The log of the first try of a task that is not mapped, as JSON."""
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/logs/1"
        return json.dumps(self.api.get(path, full_content=True))

    def lines(self, dag: str, run_id: str, task: str) -> list[str]:
        """What that log says, without the marks of groups."""
        events = [line["event"] for line in json.loads(self.log(dag, run_id, task))["content"]]
        return [event for event in events if not event.startswith("::")]

    def said(self, dag: str, run_id: str, task: str) -> str:
        """The same as one text: a reason is wrapped."""
        return " ".join(self.lines(dag, run_id, task))

    def notes(self, dag: str, run_id: str) -> dict[str, str]:
        """The notes of the run's tasks, and under `run` its own."""
        run = self.api.get(f"dags/{dag}/dagRuns/{quote(run_id, safe='')}")
        return {"run": run["note"] or "", **{task["task_id"]: task["note"] or "" for task in self.tasks(dag, run_id)}}

    def warehouse(self) -> psycopg.Connection:
        """A connection to the warehouse."""
        return psycopg.connect(self.settings.database_url("warehouse"), autocommit=True)

    def run(self, *arguments: str) -> str:
        """Run `./run …` and return what it prints."""
        return _stack(self.folder, *arguments)

    def command(self, *arguments: str) -> str:
        """Run `./run airflow …` and return what it prints."""
        return self.run("airflow", *arguments)

    def kill_tasks(self) -> None:
        """Kill the processes that run tasks now: children of the scheduler's workers."""
        scheduler = Register(self.settings.state / "processes.json").alive("scheduler")
        assert scheduler is not None
        for process in psutil.Process(scheduler.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # one may end just now
                if process.ppid() != scheduler.pid:
                    process.kill()


@dataclass(frozen=True)
class Celery:
    """Where Redis will be, if a test starts it; until then nobody asks it anything."""

    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def environment(self) -> dict[str, str]:
        """What Airflow has to know."""
        url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return {
            "MILLRACE_EXECUTOR": "LocalExecutor,CeleryExecutor",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": url,
            "AIRFLOW__CELERY__RESULT_BACKEND": url,
        }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks this stack has the marker without saying so."""
    for item in items:
        if "airflow" in getattr(item, "fixturenames", ()):
            item.add_marker("airflow")


@pytest.fixture(scope="package")
def celery() -> Celery:
    """The address of Redis and its password."""
    return Celery()


@pytest.fixture(scope="package")
def airflow(celery: Celery, s3_port: int) -> Iterator[Airflow]:
    """The stack, up; the logs of its tasks go to a bucket."""
    places.s3(f"http://127.0.0.1:{s3_port}").mkdir(LOGS.partition("/")[0])
    folder = scratch_folder("millrace-airflow-")
    copy_project(folder)
    _by_hand(folder / "dags" / "audit_memory.py")
    shutil.copy(PLANTED / "told.py", folder)
    swept = folder / ".millrace" / "inbox" / "images"
    swept.mkdir(parents=True)
    (swept / DAILY).write_bytes(pictures.encoded(pictures.photo(400, 300, 99), "PNG"))
    try:
        _stack(folder, "up", **SELDOM, **_audit(folder), **celery.environment, **_watched(s3_port))
        running = Airflow(folder, Settings.load(folder / ".millrace"))
        yield running
        running.api.close()
    finally:
        _stack(folder, "down", "--delete")
        shutil.rmtree(folder)


def _by_hand(dag: Path) -> None:
    """The audit runs where a test starts it: a scheduled run in between would tell of a test's leak in its place."""
    text = dag.read_text()
    assert EACH_TEN_MINUTES in text
    dag.write_text(text.replace(EACH_TEN_MINUTES, "schedule=None,"))


def _audit(folder: Path) -> dict[str, str]:
    """Settings of the memory audit: looks three times as often, and a notifier that writes down what it says."""
    notifier = {"class": "told.Told", "file": str(folder / "told.txt"), "text": "{{ exception }}"}
    rule = {"to": [notifier], "dags": ["audit_memory"]}
    return {"MILLRACE_MEMORY_SECONDS": "20", "MILLRACE_NOTIFY": json.dumps(rule)}


def _watched(s3_port: int) -> dict[str, str]:
    """Settings of monitoring, and of logs in a bucket."""
    key, secret = places.KEYS
    extra = {"endpoint_url": f"http://127.0.0.1:{s3_port}", "region_name": "eu-central-1"}
    login = {"conn_type": "aws", "login": key, "password": secret, "extra": extra}
    return {
        "MILLRACE_METRICS_TOKEN": METRICS_TOKEN,
        "MILLRACE_LOGS": f"s3://logs@{LOGS}",
        "MILLRACE_KEEP_LOGS_DAYS": "30",
        "AIRFLOW_CONN_LOGS": json.dumps(login),
    }


def _stack(folder: Path, *arguments: str, **more: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE", "AIRFLOW"))}
    done = subprocess.run(
        [sys.executable, "-m", "stack", *arguments],
        cwd=folder, env={**plain, **more}, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def told(airflow: Airflow) -> Iterator[None]:
    """A deployment with a leak, beside the processes of the running one."""
    with airflow.warehouse() as connection:
        story.tell(connection)
        yield
        for table in ("memory_sample", "memory_finding", "memory_evidence", "memory_task"):
            connection.execute(f"DELETE FROM millrace.{table} WHERE host = ANY(%s)", [["airflow-1", "airflow-2"]])


def instant(text: str) -> datetime:
    """An API timestamp."""
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")  # the marker `browser` sees to it
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, airflow: Airflow) -> Iterator[Page]:
    """A page of a browser that is logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(90_000)  # the first request of a browser makes a busy API server load its pages
    page.goto(f"{airflow.settings.url}/auth/login")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(airflow.settings.secrets.admin)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    yield page
    context.close()


def keep(page: Page, name: str, *, whole: bool = False) -> None:
    """Take a picture of the page, if somebody wants to see it."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=whole)
