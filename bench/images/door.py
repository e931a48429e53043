"""The running stack as the image parts of the benchmark see it: the interface, the DAG, the list of work, the store."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import psycopg

from bench.images.client import Order
from bench.place import WAREHOUSE, Place
from stack.api import AirflowApi
from stack.errors import StackError

DAG = "resize_images"
PREFIX = "millrace"
START_SECONDS = 120.0
IDLE_SECONDS = 180.0
POLL_SECONDS = 0.5
ENDED = ("success", "failed")
PAGE = 100

Thing = TypeVar("Thing")


class Door:
    """Calls with a token of the user `admin`. Empties the image tables and the store, which are the benchmark's own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.api = AirflowApi(place.settings)
        self.api.login()
        self.token = self._token()
        self.database = psycopg.connect(place.dsn(WAREHOUSE), autocommit=True)
        self._await_start()
        self.empty()  # of what a benchmark that was stopped left to do

    @property
    def store(self) -> Path:
        """The folder of the image store."""
        return self.place.settings.images

    def order(self, file: Path, count: int, clients: int, *, form: bool = False) -> Order:
        """Uploads to this door."""
        return Order(f"{self.place.settings.url}/{PREFIX}/images", str(file), count, clients, form, self.token)

    def post(self, file: Path, mark: bytes) -> str:
        """Upload one picture, told from others by a comment; returns its id."""
        data = file.read_bytes()
        comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark
        answer = self.api.call("POST", f"{PREFIX}/images", content=data[:2] + comment + data[2:])
        return str(answer["images"][0]["id"])

    def image(self, image_id: str) -> dict[str, Any]:
        """One picture as the interface shows it."""
        found: dict[str, Any] = self.api.call("GET", f"{PREFIX}/images/{image_id}")
        return found

    def counts(self) -> dict[str, int]:
        """Sources by state."""
        return dict(
            self.database.execute("SELECT state, count(*) FROM millrace.image_source GROUP BY state").fetchall()
        )

    def pause(self, paused: bool) -> None:
        """Pause the DAG, or let it run."""
        self.api.patch(f"dags/{DAG}", {"is_paused": paused})

    def empty(self) -> None:
        """Forget all pictures."""
        self.database.execute(
            "TRUNCATE millrace.image_rendition, millrace.image, millrace.image_source RESTART IDENTITY CASCADE"
        )
        for folder in self.store.glob("*/*"):  # the folders above stay: without them the store counts as not mounted
            shutil.rmtree(folder, ignore_errors=True)

    def await_idle(self) -> None:
        """Wait until no run of the DAG is under way."""
        if not wait_for(lambda: not self._active() or None, IDLE_SECONDS):
            raise StackError(f"runs of {DAG} do not end within {IDLE_SECONDS:.0f} s")

    def runs_since(self, begin: float) -> list[dict[str, Any]]:
        """Runs of the DAG that began at or after that time (seconds since 1970), the first one first."""
        since = datetime.fromtimestamp(begin, UTC).isoformat()
        return self._all(f"dags/{DAG}/dagRuns", "dag_runs", start_date_gte=since, order_by="start_date")

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return self._all(f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances", "task_instances")

    def returned(self, run_id: str, task: str, index: int) -> Any:
        """What a mapped task returned; None when it returned nothing."""
        path = f"dags/{DAG}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/xcomEntries/return_value"
        entry = self.api.get(path, map_index=index)
        return None if entry is None else entry["value"]

    def _all(self, path: str, what: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.api.get(path, limit=PAGE, offset=len(found), **params)
            found += page[what]
            if len(page[what]) < PAGE:
                return found

    def _active(self) -> list[dict[str, Any]]:
        runs = self.api.get(f"dags/{DAG}/dagRuns", limit=20, order_by="-run_after")["dag_runs"]
        return [run for run in runs if run["state"] not in ENDED]

    def _token(self) -> str:
        settings = self.place.settings
        body = {"username": "admin", "password": settings.secrets.admin}
        answer = httpx.post(f"{settings.url}/auth/token", json=body, timeout=60, trust_env=False)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def _await_start(self) -> None:
        """Until Airflow shows the DAG and the interface answers."""

        def ready() -> bool | None:
            found = self.api.get(f"dags/{DAG}")
            return bool(found and not found.get("is_stale")) or None

        if not wait_for(ready, START_SECONDS):
            raise StackError(f"Airflow does not show DAG {DAG} after {START_SECONDS:.0f} s")
        self.api.call("GET", f"{PREFIX}/counts")


def wait_for(look: Callable[[], Thing | None], seconds: float, pause: float = POLL_SECONDS) -> Thing | None:
    """What `look` finds, asked again until it is not None; None when the time is over."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
    return found
