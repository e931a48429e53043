"""Why a task failed, where a person looks first: the last lines of its log, and the note of the task and of its run.

A task that no retry can help raises what `stop` makes. Airflow logs a traceback for every exception but SystemExit, and
the reason would stand above it, cut off at the edge of the page.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from include.bridge import log

KEY = "reason"  # the XCom that takes a reason from the task to `notes.py` in the scheduler
TOLD = "millrace_note"  # the same for what a run that went well has to tell
WIDTH = 110  # of a line in Airflow's log view, at 1280 pixels
# At the start of a line, as reasons of an ingest begin. A path whose last name has no dot may be the folder that is
# spoken of.
FOLDER = re.compile(r"^((?:\w+:/)?/(?:[^\s/:]+/)+)(?=[^\s/:]+\.\w)", re.MULTILINE)


class Stopped(SystemExit):
    """Ends the task for good, without a traceback."""

    def __init__(self, reason: str) -> None:
        super().__init__(1)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NoRetry(RetryPolicy):
    """What was stopped is not tried again; everything else is, as the task says."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Airflow asks in the task's process, once it has failed."""
        return RetryDecision.fail() if isinstance(exception, Stopped) else RetryDecision.default()


def stop(reason: str) -> Stopped:
    """What to raise so that the task fails for this reason and is not tried again."""
    get_current_context()["ti"].xcom_push(KEY, "\n".join(readable(reason)))
    return Stopped(reason)


def say(context: Any) -> None:
    """Log the reason once more, below everything that Airflow says of the end. An `on_failure_callback`."""
    error = context.get("exception")
    if isinstance(error, Stopped):
        log.info("::endgroup::")  # else it would be folded away
        for line in readable(error.reason):
            log.error(line)


def readable(reason: str) -> Iterator[str]:
    """The lines of a reason, wrapped. A file that it begins with stands by its name, and its folder at the end."""
    folders = dict.fromkeys(found[1] for found in FOLDER.finditer(reason))
    short = FOLDER.sub("", reason)
    for line in short.splitlines():
        yield from textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    for folder in folders:
        yield f"Folder: {folder}"
