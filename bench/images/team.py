"""Two processes of one contender that make renditions side by side, one for each core.

A worker is a program (see bench.images.serve) that starts once, so a contender's own start is in no figure; one picture
is always ahead in its queue, so that it never waits for the benchmark.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import children_of, cpu_of
from stack.errors import StackError

CORES = 2
AHEAD = 2
READY_SECONDS, PICTURE_SECONDS, END_SECONDS = 60.0, 120.0, 5.0

Job = tuple[Path, Path]  # a picture, and the folder for what is made of it


@dataclass(frozen=True)
class Pass:
    """What one pass over some pictures cost."""

    pictures: int
    seconds: float
    cpu_seconds: float

    @property
    def speed(self) -> float:
        """Pictures a second."""
        return self.pictures / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a picture."""
        return 1000 * self.cpu_seconds / self.pictures


class Worker:
    """One process. It stays in the benchmark's session, where all resizing shares the processors as one group."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self.out = self.process.stdin, self.process.stdout
        self._log, self._rest = log, b""
        self.queued = 0

    def send(self, job: Job) -> None:
        """Ask for the renditions of a picture."""
        job[1].mkdir(parents=True, exist_ok=True)
        self._in.write(f"{job[0]}\t{job[1]}\n".encode())
        self.queued += 1

    def take(self) -> list[str]:
        """The answers that have come; blocks until some bytes have. Raises StackError with the worker's own words."""
        part = os.read(self.out.fileno(), 1 << 16)
        if not part:
            raise StackError(f"a worker died (exit code {self.process.wait(timeout=10)}), see {self._log}")
        *lines, self._rest = (self._rest + part).split(b"\n")
        words = [line.decode(errors="replace") for line in lines]
        for line in words:
            if line.startswith("fault"):
                raise StackError(f"a worker could not make a picture: {line[6:300]}")
        return [line for line in words if line in ("ready", "done")]

    def close(self) -> int:
        """End the process; returns the largest resident memory of it and of its children, in bytes."""
        self._in.close()
        deadline, peak = time.monotonic() + END_SECONDS, 0
        while self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
            elif time.monotonic() > deadline:
                self.process.kill()
            time.sleep(0.01)
        self.out.close()
        return peak


class Team:
    """The workers of one contender. Use it as a context; `peak_bytes` is known afterwards."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.workers: list[Worker] = []
        self.peak_bytes = 0
        self._start = (command, environment, log)

    def __enter__(self) -> Team:
        self._start[2].unlink(missing_ok=True)
        try:
            self.workers = [Worker(*self._start) for _ in range(CORES)]
            for worker in self.workers:
                while not any("ready" in one.take() for one in _await([worker], READY_SECONDS)):
                    pass
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.peak_bytes = max([self.peak_bytes, *(worker.close() for worker in self.workers)])
        self.workers = []

    def run(self, jobs: Iterable[Job]) -> Pass:
        """Do the jobs, each by the worker that is free first."""
        waiting, done, before, began = iter(jobs), 0, self._cpu_seconds(), time.perf_counter()
        for worker in self.workers * AHEAD:
            _next(worker, waiting)
        while busy := [worker for worker in self.workers if worker.queued]:
            for worker in _await(busy, PICTURE_SECONDS):
                for _ in worker.take():
                    worker.queued -= 1
                    done += 1
                    _next(worker, waiting)
        seconds = time.perf_counter() - began
        return Pass(done, seconds, self._cpu_seconds() - before)

    def _cpu_seconds(self) -> float:
        """So far, of the processes, of the children that they have waited for, and of those that live."""
        return sum(_cpu_seconds(worker.process.pid) for worker in self.workers)


def _next(worker: Worker, waiting: Iterator[Job]) -> None:
    if job := next(waiting, None):
        worker.send(job)


def _cpu_seconds(pid: int) -> float:
    return sum(cpu_of(pid)) + sum(map(_cpu_seconds, children_of(pid)))


def _await(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Those that have something to say."""
    ready, _, _ = select.select([worker.out for worker in workers], [], [], seconds)
    if not ready:
        raise StackError(f"a worker has said nothing for {seconds:.0f} s")
    return [worker for worker in workers if worker.out in ready]
