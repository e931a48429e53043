"""A tracer of the lines that run in one folder, in the process of the tests and in the programs that they start."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

FILE, FOLDER = "MILLRACE_REACH_FILE", "MILLRACE_REACH_FOLDER"
SITE = "from fuzz.mutants.tracing import trace_a_program\ntrace_a_program()\n"  # Python runs it when it starts


class Tracer:
    """Appends the lines that run to the file of the test that runs."""

    def __init__(self, folder: str) -> None:
        self.folder = folder.rstrip("/") + "/"
        self.seen: set[tuple[str, int]] = set()
        self.out = -1

    def open(self, file: Path | str) -> None:
        """From here on, lines are those of this file's test."""
        self.close()
        self.seen = set()
        self.out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        """No test runs."""
        if self.out >= 0:
            os.close(self.out)
        self.out = -1

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        """Python's hook for a new frame: only those of the ingest are looked into."""
        return self.line if frame.f_code.co_filename.startswith(self.folder) else None

    def line(self, frame: FrameType, event: str, _: Any) -> Any:
        """Python's hook for a line."""
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place not in self.seen:
            self.seen.add(place)
            if self.out >= 0:
                os.write(self.out, f"{place[0].removeprefix(self.folder)}:{place[1]}\n".encode())
        return self.line


def trace_a_program() -> None:
    """In a program that a test starts: what it runs is the test's."""
    if FILE in os.environ:
        tracer = Tracer(os.environ[FOLDER])
        tracer.open(os.environ[FILE])
        threading.settrace(tracer)
        sys.settrace(tracer)
