"""Sequences of runs among the writes of others, judged by a model of the table.

`writer` makes a script from a seed, `play` plays it on a real table and on the `model`, and `shrink` cuts one down in
which they differ.
"""

from __future__ import annotations

from pathlib import Path

from fuzz.judging import Checked, Difference
from fuzz.sequences.ground import Ground
from fuzz.sequences.play import Player
from fuzz.sequences.script import Script
from fuzz.sequences.shrink import SECONDS, shrink
from fuzz.sequences.writer import write_script


class Sequences:
    """A batch is one sequence."""

    def __init__(self, dsn: str, scratch: Path) -> None:
        self._ground = Ground(dsn)
        self.player = Player(self._ground, scratch)
        self._shrunk = 0

    def check(self, seed: int) -> Checked:
        """Play the script of the seed."""
        script = write_script(seed)
        self.player.seen.clear()
        self.player.seen.update({"sequences with writes of others": script.others, "steps": len(script.steps)})
        found = self.player.play(script)
        checked = Checked(1, held=+self.player.seen)
        if found is not None:
            # Where much differs, the first cases tell enough.
            self._shrunk += 1
            seconds = SECONDS if self._shrunk <= 5 else SECONDS / 10
            checked.differences.append(Difference(seed, self.smallest(script, seconds)))
        return checked

    def smallest(self, script: Script, seconds: float) -> str:
        """The failing script cut down, and what differs."""
        told: dict[Script, str] = {}

        def fails(smaller: Script) -> bool:
            found = self.player.play(smaller)
            if found is not None:
                told[smaller] = found
            return found is not None

        fails(script)
        small = shrink(script, fails, seconds)
        return f"{small}\n{told.get(small, 'it did not fail once more: it depends on the moment')}"

    def close(self) -> None:
        """Drop its databases."""
        self._ground.close()


def open_judge(dsn: str, scratch: Path) -> Sequences:
    """The judge of sequences, with databases of its own on that server."""
    return Sequences(dsn, scratch)
