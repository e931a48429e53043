"""Millrace's engine as its tasks run it: in a child process with limits.

It imports what a task imports, Airflow included, since forking a large process takes longer than forking a small one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.images.chain import recipes
from include.bridge import images as _task  # noqa: F401
from include.images.engine.sandbox import Sandbox
from include.images.errors import ImageError


def main() -> None:
    """Answer each line."""
    wanted = recipes(sys.argv[1])
    print("ready", flush=True)
    with Sandbox(wanted) as sandbox:
        for line in sys.stdin:
            picture, folder = map(Path, line.rstrip("\n").split("\t"))
            try:
                sandbox.render(picture, folder)
            except ImageError as error:
                print(f"fault {picture.name}: {error}", flush=True)
            else:
                print("done", flush=True)


if __name__ == "__main__":
    main()
