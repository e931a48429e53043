"""How long one audit takes over many processes: found, sampled from outside, and counted from inside."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.memory.programs import Program, running
from bench.report import Sheet
from include.memory.watcher import probe
from include.memory.watcher.processes import Pattern, find, sample_all
from stack.errors import StackError

PROCESSES = 200
ROUNDS, QUICK_ROUNDS = 7, 2

TAIL = """
    def main():
        assert agent.install(Path(sys.argv[1]))
        for _ in range(int(sys.argv[2]) - 1):
            if os.fork() == 0:
                break
        else:
            print("ready", flush=True)
        while True:
            time.sleep(60)

    main()
"""


@dataclass(frozen=True)
class Round:
    """Seconds of one audit. `answered` processes have counted inside."""

    processes: int
    answered: int
    find_seconds: float
    sample_seconds: float
    count_seconds: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.find_seconds + self.sample_seconds + self.count_seconds


def measure(processes: int = PROCESSES, rounds: int = ROUNDS) -> list[Round]:
    """Start them, and audit them some times. Raises StackError when some are missed."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-many-") as place,
        running("", Path(place), str(processes), tail=TAIL) as program,
    ):
        try:
            found = [_audit(program) for _ in range(rounds)]
        finally:
            _end(program)
    for one in found:
        if one.answered < processes:
            raise StackError(f"of {processes} processes, {one.processes} were found and {one.answered} answered")
    return found


def _audit(program: Program) -> Round:
    began = time.perf_counter()
    found = find([Pattern("worker", str(program.source))], older_than_seconds=0.0)
    at_found = time.perf_counter()
    taken = sample_all(found)
    at_sampled = time.perf_counter()
    answers = probe.count_all([one.incarnation for one, _ in taken.samples], folder=program.folder)
    ended = time.perf_counter()
    return Round(len(found), len(answers.found), at_found - began, at_sampled - at_found, ended - at_sampled)


def _end(program: Program) -> None:
    """End the children; the program itself is ended by who started it."""
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def sheets(rounds: Sequence[Round]) -> list[Sheet]:
    """One line an audit."""
    columns = ["audit", "processes", "found, ms", "sampled, ms", "counted inside, ms", "in all, ms"]
    rows = [
        [str(number), str(one.processes), *(f"{part * 1e3:.0f}" for part in _parts(one))]
        for number, one in enumerate(rounds, 1)
    ]
    return [Sheet("One audit of many processes", columns, rows)]


def figures(rounds: Sequence[Round] | None) -> list[Figure]:
    """Medians."""
    sampled = round(median(one.sample_seconds for one in rounds), 3) if rounds else None
    whole = round(median(one.seconds for one in rounds), 3) if rounds else None
    return [
        Figure(f"{PROCESSES} processes sampled, s", sampled, 5.0, 1.0),
        Figure(f"{PROCESSES} processes found, sampled and counted inside, s", whole, 5.0, 1.0),
    ]


def _parts(one: Round) -> tuple[float, ...]:
    return one.find_seconds, one.sample_seconds, one.count_seconds, one.seconds
