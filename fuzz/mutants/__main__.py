"""The command `python -m fuzz.mutants`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from fuzz.mutants.campaign import choose, run
from fuzz.mutants.report import write_report

MUST = 0.85


def main() -> int:
    """Try mutants and tell what survived. 0 when at least 85 % were killed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="mutants to try")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    parser.add_argument("--minutes", type=float, default=60, help="after these no other mutant is begun")
    parser.add_argument("--only", metavar="PATTERN", help="mutants whose `file:line:column function` it matches")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the survivors are written, as Markdown")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time, each with a PostgreSQL of its own")
    parser.add_argument("--test-seconds", type=float, default=60, help="a mutant that lives so long has survived")
    parser.add_argument("--reach", type=Path, metavar="FILE", help="keeps which test reaches which line")
    options = parser.parse_args()
    mutants, found = choose(options.seed, options.count, options.only)
    if not mutants:
        parser.error(f"no mutant matches {options.only}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or servers and copies would stay behind
    print(f"seed {options.seed}: {len(mutants)} of {found.possible} mutants", flush=True)
    run(
        mutants, found, jobs=options.jobs, test_seconds=options.test_seconds, minutes=options.minutes,
        reach_file=options.reach, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    text = write_report(found, len(mutants))
    print(text)
    if options.report:
        options.report.write_text(text)
    return 0 if found.tried and found.killed >= MUST * len(found.tried) else 1


if __name__ == "__main__":
    sys.exit(main())
