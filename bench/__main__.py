"""`python -m bench <name> …` runs the benchmark of that name."""

from __future__ import annotations

import importlib
import sys

NAMES = ("ingest", "images", "memory", "scale", "share")


def main(arguments: list[str]) -> int:
    """Hand over to the benchmark and return its exit code."""
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: ./run bench <name> …, where name is one of: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"bench.{arguments[0]}").main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
