"""Two small workers in fast motion: `python -m samples.workers leaky|innocent FOLDER`.

Both price orders without end. One remembers every order, the other the last thousand. The memory audit's agent is
inside, and looks into FOLDER; the number of orders that are done stands in the file FOLDER/<name>.done.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from itertools import count
from pathlib import Path

from include.memory.inside import agent

AT_ONCE = 10
REMEMBERED: dict[str, list[Order] | deque[Order]] = {"leaky": [], "innocent": deque(maxlen=1000)}


class Order:
    """An order and its lines."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [number * 10 + line for line in range(3)]


def main(name: str, folder: Path) -> None:
    """Work until somebody ends it."""
    if not agent.install(folder):
        sys.exit("the agent of the memory audit is switched off, so nobody could look inside")
    done = os.open(folder / f"{name}.done", os.O_CREAT | os.O_WRONLY, 0o600)
    for number in count():
        REMEMBERED[name].append(Order(number))
        if number % AT_ONCE == 0:
            os.pwrite(done, b"%12d" % number, 0)
            time.sleep(0.002)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
