"""Millrace's engine as its tasks run it: in a child process with limits.

It imports what a task imports, Airflow included, since forking a large process takes longer than forking a small one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.images.chain import recipes
from bench.images.serve import serve
from include.bridge import images as _task  # noqa: F401
from include.images.engine.sandbox import Sandbox
from include.images.errors import ImageError

if __name__ == "__main__":
    with Sandbox(recipes(sys.argv[1])) as sandbox:

        def make(picture: str, folder: str) -> None:
            """All renditions of one picture."""
            sandbox.render(Path(picture), Path(folder))

        serve(make, ImageError)
