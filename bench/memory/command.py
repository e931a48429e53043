"""`./run bench memory`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| verdicts | precision and recall on simulated processes, and how long a leak goes unnoticed |
| real | programs that really leak, old versions of packages among them, and innocent ones |
| cost | what the audit takes when it only watches, and what a deep profile costs its host |
| many | how long one audit of 200 processes takes |

None needs Airflow. `real` installs the old versions from PyPI, each into a venv of its own under
`.millrace/bench/memory/`.
"""

from __future__ import annotations

import argparse

from bench import harness
from bench.harness import at_least
from bench.memory import cost, many, real, verdicts, watcher
from bench.memory.kinds import KINDS, Kind
from bench.memory.late_kinds import LATE_KINDS
from include.memory.errors import MemoryAuditError
from stack.errors import StackError

SEEDS, QUICK_SEEDS = 50, 5


class Bench(harness.Bench):
    """The benchmark of the memory audit."""

    name = "memory"
    about = "Benchmark of the memory audit."
    parts = ("verdicts", "real", "cost", "many")
    packages = ("numpy", "scipy", "psycopg", "pandas", "SQLAlchemy", "jinja2", "botocore")
    pins = real.PINS
    busy_means = "pauses mean little"
    faults = (StackError, MemoryAuditError)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """To look at some processes alone."""
        seeds = f"simulated processes of each kind ({SEEDS}; {QUICK_SEEDS})"
        parser.add_argument("--seeds", type=at_least(1), help=seeds)
        parser.add_argument("--kind", action="append", help="only this simulated kind; no figures (may be repeated)")
        parser.add_argument("--program", action="append", help="only this real program (may be repeated)")

    @property
    def whole(self) -> bool:
        """Also not when only some kinds or programs were asked for."""
        return super().whole and not (self.options.kind or self.options.program)

    def run_verdicts(self) -> None:
        """Simulated processes."""
        seeds = self.options.seeds or (QUICK_SEEDS if self.quick else SEEDS)

        def judged(kinds: tuple[Kind, ...], title: str) -> verdicts.Score:
            chosen = [kind for kind in kinds if not self.options.kind or kind.name in self.options.kind]
            lines = verdicts.run(chosen, seeds, self.say)
            self.sheets.append(verdicts.sheet(lines, title))
            return verdicts.score(lines)

        early = judged(KINDS, "Kinds that the rules were made with")
        late = judged(LATE_KINDS, "Kinds that were written after the rules were frozen")
        if self.options.kind:
            return
        steady = verdicts.delays(verdicts.steady_leak, seeds)
        fast = verdicts.delays(verdicts.fast_leak, seeds)[1]
        self.judge(verdicts.figures(early, late, steady, fast))

    def run_real(self) -> None:
        """Real programs."""
        chosen = self.options.program or (real.QUICK if self.quick else ())
        self.measure(lambda: real.measure(self.folder, chosen, self.say), real.sheets, real.figures)

    def run_cost(self) -> None:
        """Watching, and a deep profile."""
        rounds = watcher.QUICK_ROUNDS if self.quick else watcher.ROUNDS
        self.measure(lambda: watcher.measure(self.folder, rounds, self.say), watcher.sheets, watcher.figures)
        scale = cost.QUICK if self.quick else cost.FULL
        self.measure(lambda: cost.measure(scale, self.say), cost.sheets, cost.figures)

    def run_many(self) -> None:
        """Many processes at once."""
        rounds = many.QUICK_ROUNDS if self.quick else many.ROUNDS
        self.measure(lambda: many.measure(rounds=rounds), many.sheets, many.figures)
