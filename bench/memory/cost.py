"""What a deep profile costs its host: the longest pause, and the work that is lost in an hour that holds one.

The host allocates all the time, with a large heap, and writes down when each of its steps ended: JSON, objects made
from rows as an ORM makes them, and pandas, half a millisecond to one a step. Its own full collections, of 0.2 s each,
are switched off: they would hide the pauses of a profile.
"""

from __future__ import annotations

import tempfile
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Runs, Say, rounded
from bench.memory.programs import FILL, running
from bench.report import Sheet
from include.memory.watcher import probe

HOUR = 3600.0
Span = tuple[float, float]
WORK = """
    import json
    from array import array
    import pandas

    gc.set_threshold(700, 10, 10**9)
    ROWS = [{"number": number, "customer": f"customer {number}", "price": number / 7} for number in range(60)]

    class Row:
        def __init__(self, number, customer, price):
            self.number, self.customer, self.price, self.lines = number, customer, price, []

    def rows_as_json():
        json.loads(json.dumps(ROWS * 4))

    def rows_as_objects():
        for one in [Row(**row) for _ in range(12) for row in ROWS]:
            one.lines.append(Order(one.number))

    def rows_as_a_frame():
        pandas.DataFrame(ROWS).groupby("number").sum()

    ACTS = [rows_as_json, rows_as_objects, rows_as_a_frame]
"""
TAIL = """
    def main():
        assert agent.install(Path(sys.argv[1]))
        print("ready", flush=True)
        stop, stamps, number = Path(sys.argv[1]).parent / "stop", array("d"), 0
        while True:
            ACTS[number % len(ACTS)]()
            stamps.append(time.monotonic())
            number += 1
            if number % 100 == 0 and stop.exists():
                (Path(sys.argv[1]).parent / "stamps").write_bytes(stamps.tobytes())
                return

    main()
"""


@dataclass(frozen=True)
class Scale:
    """How often, and how long the worker is left alone before each profile."""

    rounds: int
    alone_seconds: float


FULL, QUICK = Scale(5, 20.0), Scale(1, 5.0)


@dataclass(frozen=True)
class Round:
    """One profile, and the time before it, in which the worker was left alone. Pauses are gaps between two steps."""

    alone_pause_seconds: float
    pause_seconds: float
    seconds: float  # that the profile took
    lost_seconds: float  # of work
    agents_pause_seconds: float  # what the agent says itself, and what it did then
    agents_pause_in: str

    @property
    def lost_percent(self) -> float:
        """Of the work of an hour that holds one such profile."""
        return 100 * self.lost_seconds / HOUR


Found = Runs[str, Round]


def measure(scale: Scale, say: Say) -> Found:
    """Leave the worker alone and profile it, in turn."""
    spans: Runs[str, tuple[Span, Span, float, str]] = Runs()
    with (
        tempfile.TemporaryDirectory(prefix="millrace-cost-") as name,
        running(FILL + WORK, Path(name), tail=TAIL) as program,
    ):
        time.sleep(2.0)

        def profile() -> tuple[Span, Span, float, str]:
            began = time.monotonic()
            time.sleep(scale.alone_seconds)
            asked = time.monotonic()
            answer = probe.profile(program.incarnation, folder=program.folder)
            ended = time.monotonic()
            say(f"  a profile of {ended - asked:.0f} s")
            pause = float(answer["longest_pause_seconds"]), str(answer["longest_pause_in"])
            return (began, asked), (asked, ended), *pause

        spans.take_turns({"": profile}, scale.rounds)
        (Path(name) / "stop").touch()
        program.process.wait(timeout=60)
        steps = array("d")
        steps.frombytes((Path(name) / "stamps").read_bytes())
    found: Found = Runs()
    found.by[""] = [judge(steps, *one) for one in spans.by[""]]
    return found


def judge(steps: Sequence[float], alone: Span, profiled: Span, pause: float, pause_in: str) -> Round:
    """Compare the steps of two spans of time."""
    rate = _count(steps, alone) / (alone[1] - alone[0])
    seconds = profiled[1] - profiled[0]
    lost = seconds - _count(steps, profiled) / rate
    return Round(longest_gap(steps, alone), longest_gap(steps, profiled), seconds, lost, pause, pause_in)


def longest_gap(steps: Sequence[float], span: Span) -> float:
    """The longest time without the end of a step that ends within the span."""
    begin, end = bisect_left(steps, span[0]), bisect_right(steps, span[1])
    return max((steps[at] - steps[at - 1] for at in range(max(begin, 1), end)), default=span[1] - span[0])


def sheets(found: Found) -> list[Sheet]:
    """One line a profile."""
    cells: dict[str, Callable[[Round], str]] = {
        "longest pause alone, ms": lambda one: f"{one.alone_pause_seconds * 1e3:.0f}",
        "longest pause profiled, ms": lambda one: f"{one.pause_seconds * 1e3:.0f}",
        "the agent's own longest, ms": lambda one: f"{one.agents_pause_seconds * 1e3:.0f}",
        "in": lambda one: one.agents_pause_in,
        "profile, s": lambda one: f"{one.seconds:.1f}",
        "work lost, s": lambda one: f"{one.lost_seconds:.1f}",
        "of an hour, %": lambda one: f"{one.lost_percent:.2f}",
    }
    title = "A deep profile of a worker with a million objects that allocates all the time"
    return [Sheet.numbered(title, "profile", found.by[""], cells)]


def figures(found: Found | None) -> list[Figure]:
    """Medians over the profiles."""
    found = found or Runs()
    pause = rounded(found.median("", lambda one: one.pause_seconds * 1e3), 1)
    lost = rounded(found.median("", lambda one: one.lost_percent), 2)
    return [
        Figure("deep profile, longest pause of an allocation-heavy worker, ms", pause, 250.0, 50.0, unit="ms"),
        Figure("deep profile, work lost in an hour that holds one, %", lost, 3.0, 1.0, unit="%"),
    ]


def _count(steps: Sequence[float], span: Span) -> int:
    return bisect_right(steps, span[1]) - bisect_left(steps, span[0])
