"""Load for the server that is measured: clients that upload, and resizing that takes both cores meanwhile."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.images import chain
from bench.images.client import UPLOAD_SECONDS, Order, Uploads
from bench.images.peers import MILLRACE
from bench.images.team import Job
from stack.errors import StackError
from stack.settings import REPOSITORY


def upload(order: Order) -> Uploads:
    """Run the clients of an order, in a process and a session of their own."""
    command = [sys.executable, "-m", "bench.images.client"]
    rounds = 1 + order.count / order.clients
    done = subprocess.run(
        command, cwd=REPOSITORY, input=json.dumps(asdict(order)), capture_output=True, text=True,
        timeout=UPLOAD_SECONDS * rounds, check=False, start_new_session=True,
    )  # fmt: skip
    if done.returncode:
        raise StackError(f"the clients failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    return Uploads(**json.loads(done.stdout))


class Resizing:
    """Two processes that make renditions without a pause, as two tasks do. Use it as a context."""

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        self._pictures, self._out = pictures, folder / "renditions" / "load"
        self._team = MILLRACE.team(folder, chain.FILES)
        self._stop = threading.Event()
        self._fault: StackError | None = None
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Resizing:
        self._team.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)
        self._team.__exit__()
        if self._fault is not None and kind is None:
            raise self._fault

    def _loop(self) -> None:
        try:
            self.speed = self._team.run(self._jobs()).speed
        except StackError as fault:
            self._fault = fault

    def _jobs(self) -> Iterator[Job]:
        for picture in itertools.cycle(self._pictures):
            if self._stop.is_set():
                return
            yield picture, self._out / picture.stem
