"""`./run logs`: what each part of the stack has logged last, also after the stack has died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from include.ingest.dataset.definition import nearest
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.settings import Settings, state_folder

LINES = 100  # of one part
FEW_LINES = 3  # of each part, where all are shown
LOOK_SECONDS = 0.5


def show_logs(part: str | None, *, lines: int | None = None, follow: bool = False) -> None:
    """Print the last lines of one part's log, or a few of every part's; with `follow`, go on until Ctrl-C.

    Raises StackError where there is no such part, with the names that there are.
    """
    files = _files()
    if part is None:
        if follow:
            raise StackError(f"say which log to follow: {', '.join(files)}")
        for name, file in files.items():
            print(f"{name} ({file}):")
            for line in _last(file, lines or FEW_LINES):
                print(f"  {line}")
        return
    if part not in files:
        raise StackError(f"there is no log of {part}{nearest(part, files)}; there are {', '.join(files)}")
    for line in _last(files[part], lines or LINES):
        print(line, flush=True)
    if follow:
        for text in _coming(files[part]):
            print(text, end="", flush=True)


def _files() -> dict[str, Path]:
    """The log of each part that has one, by name."""
    if not state_folder().is_dir():
        raise StackError("nothing runs here and nothing has; start with ./run up")
    settings = Settings.load()
    found = {file.stem: file for file in sorted(settings.logs.glob("*.log"))}
    server = PostgresServer(settings.data_dir).log_file
    if server.exists():
        found["postgres"] = server
    if not found:
        raise StackError(f"there are no logs yet in {settings.logs}")
    return found


def _last(file: Path, number: int) -> list[str]:
    with file.open(errors="replace") as log:
        return [line.rstrip("\n") for line in deque(log, number)]


def _coming(file: Path) -> Iterator[str]:
    """What is written from now on, also once the log was begun anew."""
    at = file.stat().st_size
    while True:
        size = file.stat().st_size if file.exists() else 0
        if size < at:
            at = 0
        if size > at:
            with file.open(errors="replace") as log:
                log.seek(at)
                yield log.read()
                at = log.tell()
        time.sleep(LOOK_SECONDS)
