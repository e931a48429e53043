"""The running stack as the image parts of the benchmark see it: the interface, the DAG, the list of work, the store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.airflow import Airflow, Json
from bench.images.client import UPLOAD_SECONDS, Order, Uploads
from stack.errors import StackError
from stack.settings import REPOSITORY, Settings

DAG = "resize_images"
PREFIX = "millrace"


class Door:
    """Calls with a token of the user `admin`. Empties the image tables and the store, which are the benchmark's own."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.airflow = settings, Airflow(settings)
        self.api = self.airflow.api
        body = {"username": "admin", "password": settings.secrets.admin}
        self.token = str(self.api.call("POST", "auth/token", json=body)["access_token"])
        self.database = psycopg.connect(settings.database_url("warehouse"), autocommit=True)
        self.airflow.await_dag(DAG, paused=False)
        self.api.call("GET", f"{PREFIX}/counts")
        self.empty()  # of what a benchmark that was stopped left to do

    def order(self, file: Path, count: int, clients: int, *, form: bool = False) -> Order:
        """Uploads to this door."""
        return Order(f"{self.settings.url}/{PREFIX}/images", str(file), count, clients, form, self.token)

    def post(self, file: Path, mark: bytes) -> str:
        """Upload one picture, told from others by a comment; returns its id."""
        data = file.read_bytes()
        comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark
        answer = self.api.call("POST", f"{PREFIX}/images", content=data[:2] + comment + data[2:])
        return str(answer["images"][0]["id"])

    def counts(self) -> dict[str, int]:
        """Sources by state."""
        return dict(
            self.database.execute("SELECT state, count(*) FROM millrace.image_source GROUP BY state").fetchall()
        )

    def empty(self) -> None:
        """Forget all pictures."""
        self.database.execute(
            "TRUNCATE millrace.image_rendition, millrace.image, millrace.image_source RESTART IDENTITY CASCADE"
        )
        for folder in self.settings.images.glob(
            "*/*"
        ):  # the folders above stay: without them the store counts as not mounted
            shutil.rmtree(folder, ignore_errors=True)

    def await_idle(self) -> None:
        """Wait until no run of the DAG is under way."""
        self.airflow.await_idle(DAG)

    def runs_since(self, begin: float) -> list[Json]:
        """Runs of the DAG that began at or after that time (seconds since 1970), the first one first."""
        since = datetime.fromtimestamp(begin, UTC).isoformat()
        return self.airflow.runs(DAG, start_date_gte=since, order_by="start_date")


def upload(order: Order) -> Uploads:
    """Run the clients of an order, in a process and a session of their own. Raises StackError if one is refused."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.images.client"], cwd=REPOSITORY, input=json.dumps(asdict(order)),
        capture_output=True, text=True, timeout=UPLOAD_SECONDS * (1 + order.count / order.clients), check=False,
        start_new_session=True,
    )  # fmt: skip
    if done.returncode:
        raise StackError(f"the clients failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    found = Uploads(**json.loads(done.stdout))
    if found.faults:
        raise StackError(f"{len(found.faults)} of {order.count} uploads were refused: {found.faults[0]}")
    return found
