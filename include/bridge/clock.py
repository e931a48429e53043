"""A machine whose clock is wrong: Airflow counts by it how long a task that failed there waits for its next try."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from airflow.sdk.configuration import conf

WRONG_SECONDS = 30.0  # more than the answer may take, which counts as if the clock were ahead
ASK_SECONDS = 10.0
log = logging.getLogger("millrace")


def say_if_ahead(context: Any) -> None:
    """Log by how much this machine's clock is ahead of the API server's, and what to do. An `on_retry_callback`."""
    import httpx  # here, as DAG files import this module

    with suppress(httpx.HTTPError, KeyError, ValueError):  # who can't be asked leaves nothing to say
        answer = httpx.get(conf.get("core", "execution_api_server_url"), timeout=ASK_SECONDS)
        ahead = (datetime.now(UTC) - parsedate_to_datetime(answer.headers["date"])).total_seconds()
        if ahead > WRONG_SECONDS:
            log.error(
                "the clock of %s is %.0f s ahead of the API server's, and so the next try waits %.0f s longer than it"
                " should: set the clock, and clear this task to have its next try at once",
                socket.gethostname(), ahead, ahead,
            )  # fmt: skip
