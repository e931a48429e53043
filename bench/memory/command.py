"""`./run bench memory`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| verdicts | precision and recall on simulated processes, and how long a leak goes unnoticed |
| real | programs that really leak, old versions of packages among them, and innocent ones |
| cost | what the audit takes when it only watches, and what a deep profile costs its host |
| many | how long one audit of 200 processes takes |

None needs Airflow. `real` installs the old versions from PyPI, each into a venv of its own under
`.millrace/bench/memory/`. `--quick` runs the same code on less and writes nothing into the repository.
"""

from __future__ import annotations

import argparse

from bench import machine, parts
from bench.memory import cost, many, real, verdicts, watcher
from bench.memory.kinds import KINDS, Kind
from bench.memory.late_kinds import LATE_KINDS
from bench.parts import Parts
from include.memory.errors import MemoryAuditError
from stack.errors import StackError

PARTS = ("verdicts", "real", "cost", "many")
PACKAGES = ("numpy", "scipy", "psycopg", "pandas", "SQLAlchemy", "jinja2", "botocore")
SEEDS, QUICK_SEEDS = 50, 5


class Bench(Parts):
    """The benchmark of the memory audit."""

    name = "memory"
    all_parts = PARTS
    busy_means = "pauses mean little"
    faults = (StackError, MemoryAuditError)

    @property
    def whole(self) -> bool:
        """Also not when only some kinds or programs were asked for."""
        return super().whole and not (self.options.kind or self.options.program)

    @property
    def judged(self) -> bool:
        """Some kinds alone give no figures."""
        return not self.options.kind

    def facts(self) -> dict[str, str]:
        """About machine and software."""
        return {**machine.host(self.folder), **machine.software(PACKAGES, real.PINS)}

    def run_verdicts(self) -> None:
        """Simulated processes."""
        seeds = self.options.seeds or (QUICK_SEEDS if self.options.quick else SEEDS)

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
        self.figures += verdicts.figures(early, late, steady, fast)

    def run_real(self) -> None:
        """Real programs."""
        chosen = self.options.program or (real.QUICK if self.options.quick else ())
        rows = real.measure(self.folder, chosen, self.say)
        self.book(rows, real.sheets, real.figures(rows))

    def run_cost(self) -> None:
        """Watching, and a deep profile."""
        rounds = watcher.QUICK_ROUNDS if self.options.quick else watcher.ROUNDS
        watched = self.attempt(lambda: watcher.measure(self.folder, rounds, self.say))
        self.book(watched, watcher.sheets, watcher.figures(watched))
        scale = cost.QUICK if self.options.quick else cost.FULL
        profiles = self.attempt(lambda: cost.measure(scale, self.say))
        self.book(profiles, cost.sheets, cost.figures(profiles))

    def run_many(self) -> None:
        """Many processes at once."""
        found = self.attempt(lambda: many.measure(rounds=many.QUICK_ROUNDS if self.options.quick else many.ROUNDS))
        self.book(found, many.sheets, many.figures(found))


def run(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    return parts.run(Bench, _options(arguments))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = parts.parser_of("memory", "the memory audit", PARTS)
    parser.add_argument("--seeds", type=int, help=f"simulated processes of each kind ({SEEDS}; {QUICK_SEEDS})")
    parser.add_argument("--kind", action="append", help="only this simulated kind; no figures (may be repeated)")
    parser.add_argument("--program", action="append", help="only this real program (may be repeated)")
    options = parser.parse_args(arguments)
    if options.seeds is not None and options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options
