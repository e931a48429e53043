"""A small HTTP server of a peer, in a process and a session of its own, with a folder for what it writes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.images.peers import HERE
from stack.errors import StackError
from stack.ports import HOST, free_port

START_SECONDS = 30.0


class Server:
    """Use it as a context."""

    def __init__(self, script: str, folder: Path) -> None:
        self._script, self.files = HERE / script, folder / "uploads"
        self._log = folder / "logs" / f"{self._script.stem}.log"
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> Server:
        self.files.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(self._script), str(self.port), str(self.files)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._await()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        shutil.rmtree(self.files, ignore_errors=True)

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise StackError(f"{self._script.name} does not start, see {self._log}")
