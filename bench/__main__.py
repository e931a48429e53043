"""`python -m bench <name> …` runs the benchmark of that name."""

from __future__ import annotations

import importlib
import sys

NAMES = ("ingest", "infer", "replay", "pages", "images", "memory", "scale", "share")


def main(arguments: list[str]) -> int:
    """Hand over to the benchmark and return its exit code."""
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: ./run bench <name> …, where name is one of: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    from bench import harness

    return harness.run(importlib.import_module(f"bench.{arguments[0]}.command").Bench, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
