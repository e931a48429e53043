"""How long one audit takes over many processes: found, sampled from outside, and counted from inside."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Runs, rounded
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


Found = Runs[str, Round]


def measure(processes: int = PROCESSES, rounds: int = ROUNDS) -> Found:
    """Start them, and audit them some times. Raises StackError when some are missed."""
    found: Found = Runs()
    with (
        tempfile.TemporaryDirectory(prefix="millrace-many-") as place,
        running("", Path(place), str(processes), tail=TAIL) as program,
    ):
        try:
            found.take_turns({"": lambda: _audit(program)}, rounds)
        finally:
            program.end_children()
    for one in found.by[""]:
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


def sheets(found: Found) -> list[Sheet]:
    """One line an audit."""
    cells: dict[str, Callable[[Round], str]] = {
        "processes": lambda one: str(one.processes),
        "found, ms": lambda one: f"{one.find_seconds * 1e3:.0f}",
        "sampled, ms": lambda one: f"{one.sample_seconds * 1e3:.0f}",
        "counted inside, ms": lambda one: f"{one.count_seconds * 1e3:.0f}",
        "in all, ms": lambda one: f"{one.seconds * 1e3:.0f}",
    }
    return [Sheet.numbered("One audit of many processes", "audit", found.by[""], cells)]


def figures(found: Found | None) -> list[Figure]:
    """Medians."""
    found = found or Runs()
    sampled = rounded(found.median("", lambda one: one.sample_seconds), 3)
    whole = rounded(found.median("", lambda one: one.seconds), 3)
    return [
        Figure(f"{PROCESSES} processes sampled, s", sampled, 5.0, 1.0, unit="s"),
        Figure(f"{PROCESSES} processes found, sampled and counted inside, s", whole, 5.0, 1.0, unit="s"),
    ]
