"""The loop of a contender's worker: it says `ready`, reads lines `picture TAB folder` and answers each.

Of the standard library alone, as contenders run it in venvs of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def serve(make: Callable[[str, str], None], refused: type[Exception] = OSError) -> None:
    """Answer `done`, or `fault` and the reason."""
    print("ready", flush=True)
    for line in sys.stdin:
        picture, folder = line.rstrip("\n").split("\t")
        try:
            make(picture, folder)
        except refused as fault:
            print(f"fault {picture}: {fault}".replace("\n", " "), flush=True)
        else:
            print("done", flush=True)
