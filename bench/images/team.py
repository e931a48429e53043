"""Two processes of one contender that make renditions side by side, one for each core.

A worker is a program (see bench.images.serve) that starts once, so a contender's own start is in no figure; one picture
is always ahead in its queue, so that it never waits for the benchmark.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import children_of, cpu_of
from stack.errors import StackError

CORES, AHEAD, END_SECONDS = 2, 2, 5.0
Job = tuple[Path, Path]  # a picture, and the folder for what is made of it


class Team:
    """The workers of one contender, in the benchmark's session. A context; `peak_bytes` is known afterwards."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command, self._environment, self._log = command, environment, log
        self._workers: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self.peak_bytes = 0

    def __enter__(self) -> Team:
        with self._log.open("wb") as log:
            for _ in range(CORES):
                self._workers.append(subprocess.Popen(
                    self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    text=True,
                ))  # fmt: skip
        try:
            for worker in self._workers:
                self._answer(worker, "ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stdin.close()  # type: ignore[union-attr]
            timer = threading.Timer(END_SECONDS, worker.kill)
            timer.start()
            status, usage = os.wait4(worker.pid, 0)[1:]
            timer.cancel()
            worker.returncode = os.waitstatus_to_exitcode(status)
            worker.stdout.close()  # type: ignore[union-attr]
            self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * 1024)  # of it and of its children
        self._workers = []

    def run(self, jobs: Iterable[Job]) -> tuple[float, float]:
        """Do the jobs, each by the worker that is free first: pictures a second, and CPU milliseconds a picture."""
        waiting, pids = iter(jobs), [worker.pid for worker in self._workers]
        before, began = _cpu_seconds(pids), time.perf_counter()
        with ThreadPoolExecutor(CORES) as threads:
            done = sum(threads.map(lambda worker: self._work(worker, waiting), self._workers))
        return done / (time.perf_counter() - began), 1000 * (_cpu_seconds(pids) - before) / done

    def _work(self, worker: subprocess.Popen[str], waiting: Iterator[Job]) -> int:
        queued = done = 0
        while True:
            while queued < AHEAD:
                with self._lock:
                    job = next(waiting, None)
                if job is None:
                    break
                job[1].mkdir(parents=True, exist_ok=True)
                print(*job, sep="\t", file=worker.stdin, flush=True)
                queued += 1
            if not queued:
                return done
            self._answer(worker, "done")
            queued, done = queued - 1, done + 1

    def _answer(self, worker: subprocess.Popen[str], wanted: str) -> None:
        """Wait for an answer; other lines are a program's own. Raises StackError with the worker's own words."""
        for line in worker.stdout:  # type: ignore[union-attr]
            if line.startswith("fault"):
                raise StackError(f"a worker could not make a picture: {line[6:300]}")
            if line.strip() == wanted:
                return
        raise StackError(f"a worker died, see {self._log}")


def _cpu_seconds(pids: Iterable[int]) -> float:
    """So far, of the processes, of the children that they have waited for, and of those that live."""
    return sum(sum(cpu_of(pid)) + _cpu_seconds(children_of(pid)) for pid in pids)
