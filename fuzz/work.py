"""Hands consecutive seeds to the judges until the time or the cases are used up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from fuzz.judging import Checked, Difference
from fuzz.lanes import Lanes
from fuzz.report import Tally, line_of

EVERY = 15.0  # seconds between two lines of progress


def work(
    lanes: Lanes, tallies: dict[str, Tally], *, seed: int, minutes: float | None, cases: Mapping[str, int],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Fill `tallies`, each up to its `cases`. The judge that had the least time is next: all have the same share."""
    began = told = time.monotonic()
    given = dict.fromkeys(tallies, 0)
    asked: dict[Future[tuple[Checked, float]], tuple[str, int, int]] = {}
    while True:
        late = minutes is not None and time.monotonic() - began > minutes * 60
        while lanes.free and not late:
            lane = lanes.free[0]
            busy = [name for name, _, _ in asked.values()]  # a case each at least
            open_ = [one for one in tallies if tallies[one].cases + busy.count(one) < cases.get(one, math.inf)]
            if not open_:
                break
            name = min(open_, key=lambda one: (busy.count(one), tallies[one].seconds))
            asked[lanes.submit(lane, name, seed + given[name])] = name, seed + given[name], lane
            given[name] += 1
        if not asked:
            return
        for future in wait(asked, EVERY, FIRST_COMPLETED).done:
            name, number, lane = asked.pop(future)
            _take(tallies[name], number, future, say)
            lanes.free.append(lane)
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            say(f"{told - began:5.0f} s  " + ", ".join(map(line_of, tallies.values())))


def _take(tally: Tally, seed: int, future: Future[tuple[Checked, float]], say: Callable[[str], None]) -> None:
    try:
        checked, seconds = future.result()
    except BrokenProcessPool:
        # Its lane can't be used any more; what it did is the finding.
        tally.differences.append(Difference(seed, "the process died"))
        raise
    tally.add(checked, seconds)
    for difference in checked.differences:
        again = f"./run fuzz --only {tally.name} --seed {difference.seed} --cases 1"
        say(f"\n{tally.name}: seed {difference.seed} ({again})\n{difference.case}\n")
