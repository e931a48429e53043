"""`./run fuzz [--minutes 10] [--seed 1] [--only sequences] [--cases N] [--report FILE]`: see `docs/fuzz.md`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from fuzz.judges import NAMES, present
from fuzz.lanes import Lanes
from fuzz.report import Tally, table_of, write
from fuzz.work import work
from stack.errors import StackError

LANES = 2


def main(arguments: list[str] | None = None) -> int:
    """Run it; 0 when nothing differs, 1 when something does, 2 for wrong usage, 130 when it is interrupted."""
    options = _options(arguments)
    names = [one for one in present() if one == (options.only or one) and one in (options.cases or NAMES)]
    tallies = {name: Tally(name) for name in names}
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored where a shell started this in the background
        signal.signal(number, signal.default_int_handler)
    ended = 0
    minutes = options.minutes if options.minutes is not None or options.cases else 10.0
    try:
        with Lanes(LANES) as lanes:
            _say(f"{', '.join(names)}: seeds from {options.seed} on")
            work(lanes, tallies, seed=options.seed, minutes=minutes, cases=options.cases or {}, say=_say)
    except KeyboardInterrupt:
        _say("interrupted")
        ended = 130
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr)
        return 1
    _say(table_of(tallies.values()))
    if options.report:
        write(options.report, tallies.values(), seed=options.seed)
    return 1 if any(tally.differences for tally in tallies.values()) else ended


def _say(text: str) -> None:
    print(text, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run fuzz", description="The ingest judged by what is not ours.")
    parser.add_argument("--minutes", type=_positive, help="how long (10, or until --cases are judged)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; the others follow it (1)")
    parser.add_argument("--only", choices=NAMES, help="one of the judges")
    parser.add_argument("--cases", type=_cases, help="stop each judge after so many, or as files=100000,sequences=5000")
    parser.add_argument("--report", type=Path, help="write the table there")
    options = parser.parse_args(arguments)
    if options.only and options.only not in present():
        parser.error(f"there is no judge of {options.only} here")
    if options.only and options.only not in (options.cases or NAMES):
        parser.error(f"--cases does not name {options.only}")
    return options


def _cases(text: str) -> dict[str, int]:
    """By judge: one number is for each of them."""
    if "=" not in text:
        return dict.fromkeys(NAMES, int(text))
    cases = {name: int(number) for name, _, number in (one.partition("=") for one in text.split(","))}
    if unknown := cases.keys() - set(NAMES):
        raise argparse.ArgumentTypeError(f"no judge has the name {', '.join(unknown)}")
    return cases


def _positive(text: str) -> float:
    minutes = float(text)
    if minutes <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return minutes


if __name__ == "__main__":
    sys.exit(main())
