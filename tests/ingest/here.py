"""`python -m include.ingest` within the test's own process, as starting another one takes seconds."""

from __future__ import annotations

import contextlib
import io
from subprocess import CompletedProcess

from include.ingest.__main__ import main


def run(*arguments: object) -> CompletedProcess[str]:
    """What the command line answers."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return CompletedProcess([str(argument) for argument in arguments], code, out.getvalue(), err.getvalue())
