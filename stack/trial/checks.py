"""What has to hold of a deployment. Each check does something as a user would, and returns a line about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from samples.landscapes import landscape
from samples.orders import Shape, rows_for, write
from samples.pictures import encoded
from stack.api import AirflowApi
from stack.errors import StackError
from stack.trial import page_login, rights
from stack.trial.deployment import Deployment, until

DAG = "ingest_orders"
RUN_SECONDS, DAG_SECONDS, PICTURE_SECONDS, WATCH_SECONDS = 300.0, 180.0, 90.0, 60.0
SMALL_MB, LARGE_MB = 2.0, 60.0
ROWS = "SELECT count(*) FROM public.orders"
HOSTS = "SELECT count(DISTINCT host) FROM millrace.memory_sample"
WATCHED = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")


def ingest(place: Deployment, folder: Path) -> str:
    """A file through Celery, and the rows that it holds in the table."""
    held = _deliver(place, folder, "2026-01-01", SMALL_MB)
    api = place.api()
    run = _start(api, DAG, "2026-01-01")
    _await(api, DAG, run)
    expected = held["rows"] - held["duplicates"]
    found = int(place.query("warehouse-db", "warehouse", ROWS))
    if not expected - held["bad"] <= found <= expected:
        raise StackError(f"the table has {found} rows, the file {held}")
    return f"{held['rows']:,} records ingested on Celery, {found:,} rows in the table"


def correction(place: Deployment, folder: Path) -> str:
    """A rejected row is checked as the page does it, by a process beside the API server."""
    row = place.query("warehouse-db", "warehouse", "SELECT min(id) FROM millrace.rejected_row")
    began = time.monotonic()
    found = place.api().call("POST", f"millrace/ingest/rejected/{row}/check", json={})
    if found["accepted"] or found["faults"][0]["rule"] == "record":
        raise StackError(f"the check of a rejected row found {found}")
    return f"a rejected row checked in {time.monotonic() - began:.1f} s"


def picture(place: Deployment, folder: Path) -> str:
    """An upload, until its renditions are there."""
    api = place.api()
    data = encoded(landscape(1200, 800, time.time_ns() % 100_000), quality=90)
    answer = api.call("POST", "millrace/images", content=data, headers={"X-File-Name": "trial.jpg"})
    path = f"millrace/images/{answer['images'][0]['id']}"
    until(lambda: api.call("GET", path)["state"] in ("done", "failed"), "renditions", PICTURE_SECONDS)
    found = api.call("GET", path)
    if found["state"] != "done":
        raise StackError(f"the picture failed: {found['reason']}")
    return f"a picture uploaded, {len(found['renditions'])} renditions"


def audit(place: Deployment, folder: Path) -> str:
    """The memory audit, by hand, and that the watchers of all containers have sampled."""
    api = place.api()
    run = _start(api, "audit_memory", "2026-01-01")
    _await(api, "audit_memory", run)
    watched = sum(one["Service"] in WATCHED for one in place.containers())
    until(lambda: int(place.query("warehouse-db", "warehouse", HOSTS)) >= watched, "sample of each", WATCH_SECONDS)
    return f"memory audited, processes of {watched} containers sampled"


def try_rights(place: Deployment, folder: Path) -> str:
    """Every route as each role, against the table of docs/security.md."""
    seen = rights.try_all(place.settings.url, place.settings.secrets.admin)
    return f"{len(seen)} routes as nobody, {', '.join(rights.ROLES)}"


def try_login(place: Deployment, folder: Path) -> str:
    """The page of the login, its cookies and the logout; and that the image can ask LDAP."""
    place.compose("exec", "-T", "api-server", "python", "-c", "import ldap")
    return page_login.try_page(place.settings.url, place.settings.secrets.admin)


def try_tls(place: Deployment, folder: Path) -> str:
    """Whoever is connected to a database is so by TLS, and a worker that asks in the clear is refused by all."""
    seen = {name: place.query(name, "postgres", BY_TLS).split("|") for name in DATABASES}
    if not all(int(by_tls) and not int(plain) for by_tls, plain in seen.values()):
        raise StackError(f"connections by TLS and in the clear: {seen}")
    said = place.compose("exec", "-T", "worker", "python", "-c", IN_THE_CLEAR).decode().split("\n")
    if said[:3] != ["refused"] * 3:
        raise StackError(f"asked in the clear, warehouse, Redis and API server said {said}")
    return f"{sum(int(one) for one, _ in seen.values())} connections to databases by TLS, none in the clear"


def scale(place: Deployment, folder: Path) -> str:
    """A third worker."""
    place.workers = 3
    place.up()
    return "three workers are healthy"


def upgrade(place: Deployment, folder: Path, image: str) -> str:
    """Another image while a run is under way: it ends as if nothing had been."""
    held = _deliver(place, folder, "2026-01-02", LARGE_MB)
    api = place.api()
    run = _start(api, DAG, "2026-01-02", chunk_bytes=2_000_000)
    path = f"dags/{DAG}/dagRuns/{quote(run, safe='')}/taskInstances"
    until(
        lambda: any(one["state"] == "running" for one in api.get(path)["task_instances"]), "running task", RUN_SECONDS
    )
    place.use(image)
    place.up()
    _await(place.api(), DAG, run)
    images = {one["Image"] for one in place.containers() if one["Service"] in ("worker", "scheduler", "api-server")}
    if images != {image}:
        raise StackError(f"these images run after the upgrade: {images}")
    return f"{held['rows']:,} records ingested while every container was replaced"


def restore(place: Deployment, folder: Path) -> str:
    """Both databases dumped, lost with their volumes, and restored."""
    before = _state(place)
    dumps = {name: place.compose("exec", "-T", name, "pg_dumpall", "-U", "postgres") for name in DATABASES}
    place.compose("down", "--timeout", "60")
    for name in DATABASES:
        place.docker("volume", "rm", f"{place.project}_{name.partition('-')[0]}")
    place.compose("up", "--detach", "--wait", *DATABASES)
    for name, dump in dumps.items():
        place.compose("exec", "-T", name, "psql", "-q", "-U", "postgres", given=dump)
    place.up()
    after = _state(place)
    if after != before:
        raise StackError(f"before the restore {before}, after it {after}")
    size = sum(map(len, dumps.values()))
    return f"{size / 1e6:.0f} MB of dumps restored into new volumes: rows, runs and login are those of before"


def gone(place: Deployment, folder: Path) -> str:
    """Nothing is left of it."""
    place.remove()
    mine = ("--quiet", "--filter", f"label=com.docker.compose.project={place.project}")
    left = (
        place.docker("ps", "--all", *mine) + place.docker("volume", "ls", *mine) + place.docker("network", "ls", *mine)
    )
    left_over = [*left.split(), *(place.nameless_volumes() - place.nameless)]
    if left_over:
        raise StackError(f"left behind: {left_over}")
    return "containers, networks and volumes are gone"


BY_TLS = (
    "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl JOIN pg_stat_activity"
    " USING (pid) WHERE client_addr IS NOT NULL"
)
# By a worker, which has the passwords.
IN_THE_CLEAR = """
import os, urllib.request
import psycopg, redis

def warehouse():
    psycopg.connect(os.environ["AIRFLOW_CONN_WAREHOUSE"] + "?sslmode=disable", connect_timeout=5)

def queue():
    url = os.environ["AIRFLOW__CELERY__BROKER_URL"].partition("?")[0].replace("rediss:", "redis:")
    redis.Redis.from_url(url, socket_timeout=5).ping()

def api():
    urllib.request.urlopen("http://api-server:8080/api/v2/version", timeout=5)

for ask in (warehouse, queue, api):
    try:
        ask()
        print("answered")
    except (OSError, psycopg.OperationalError, redis.exceptions.RedisError):
        print("refused")
"""
DATABASES = ("metadata-db", "warehouse-db")
Check = Callable[[Deployment, Path], str]


def _state(place: Deployment) -> tuple[str, int]:
    runs = place.api().get(f"dags/{DAG}/dagRuns", state="success", limit=1)["total_entries"]
    return place.query("warehouse-db", "warehouse", ROWS), runs


def _deliver(place: Deployment, folder: Path, day: str, megabytes: float) -> dict[str, int]:
    file = folder / f"orders_{day}.csv"
    with file.open("wb") as out:
        held = write(out, Shape(rows_for(megabytes * 1e6)))
    place.deliver(file, f"orders/{file.name}")
    file.unlink()
    return held


def _start(api: AirflowApi, dag: str, day: str, **conf: int) -> str:
    """A run of that day, by hand; the DAG need not be known yet."""
    until(lambda: api.get(f"dags/{dag}"), f"DAG {dag}", DAG_SECONDS)
    begin = datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=UTC)
    end = begin.replace(hour=23, minute=59)
    body = {
        "dag_run_id": f"trial-{day}", "logical_date": begin.isoformat(), "conf": conf,
        "data_interval_start": begin.isoformat(), "data_interval_end": end.isoformat(),
    }  # fmt: skip
    run = str(api.post(f"dags/{dag}/dagRuns", body)["dag_run_id"])
    api.patch(f"dags/{dag}", {"is_paused": False})
    return run


def _await(api: AirflowApi, dag: str, run: str) -> None:
    path = f"dags/{dag}/dagRuns/{quote(run, safe='')}"
    until(lambda: api.get(path)["state"] in ("success", "failed"), f"end of {dag}", RUN_SECONDS)
    if api.get(path)["state"] != "success":
        tasks = api.get(f"{path}/taskInstances", limit=100)["task_instances"]
        raise StackError(f"{dag} failed in {[one['task_id'] for one in tasks if one['state'] == 'failed']}")
