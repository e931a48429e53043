"""Tells who asked for it that a picture is done or failed: a signed POST, at least once, tried again for some hours.

The receiver checks header `Millrace-Signature: t=<seconds since 1970>,v1=<hex>`: v1 is the HMAC-SHA256 of `<t>.<body>`
with the shared secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from psycopg import Connection
from psycopg.rows import dict_row

from include.images import origins
from include.images.find import facts

ATTEMPTS = 7
FIRST_PAUSE_SECONDS = 10.0  # four times as long after each failure: the last is some four hours after the first
TIMEOUT_SECONDS = 10.0
AT_ONCE = 8  # a receiver that hangs does not hold up the others
AT_A_TIME = 40  # callbacks of one call of `deliver`; it takes under a minute even if nobody answers


@dataclass(frozen=True)
class Callbacks:
    """Where callbacks may go (`https://host[:port]` each), and the secret that signs them."""

    secret: str = ""
    origins: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether this URL may be called."""
        return origins.allows(self.origins, url)

    def signature(self, body: bytes, now: int) -> str:
        """The header's value."""
        signed = hmac.new(self.secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={now},v1={signed}"


@dataclass(frozen=True)
class Call:
    """One callback that is due."""

    image_id: UUID
    url: str
    attempts: int
    body: bytes


def deliver(connection: Connection[Any], callbacks: Callbacks, base_url: str) -> dict[str, int]:
    """Make the callbacks that are due; returns how many were delivered, failed for now, and given up.

    `base_url` is the interface's address, for the picture's own URL. Takes a connection in autocommit.
    """
    calls = _due(connection, base_url)
    counts = {"delivered": 0, "failed": 0, "given_up": 0}
    if not calls:
        return counts
    with httpx.Client(timeout=TIMEOUT_SECONDS) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {pool.submit(_call, client, callbacks, call): call for call in calls}
        for done in as_completed(asked):  # entered at once: if this process dies now, it is not sent again
            counts[_enter(connection, asked[done], *done.result())] += 1
    return counts


def _enter(connection: Connection[Any], call: Call, delivered: bool, answer: str) -> str:
    last = call.attempts + 1 >= ATTEMPTS
    pause = None if delivered or last else FIRST_PAUSE_SECONDS * 4**call.attempts
    connection.execute(
        "UPDATE millrace.image SET callback_attempts = callback_attempts + 1, callback_answer = %s,"
        " callback_due = clock_timestamp() + %s * interval '1 second' WHERE image_id = %s",
        [answer, pause, call.image_id],
    )
    return "delivered" if delivered else "given_up" if last else "failed"


def _due(connection: Connection[Any], base_url: str) -> Sequence[Call]:
    """Take what is due; if this process dies, it is due again after a minute and a half."""
    # 90 seconds are more than one call of `deliver` takes. Rows that another run is taking are passed over: waited for,
    # they would be called twice.
    cursor = connection.cursor(row_factory=dict_row)
    rows = cursor.execute(
        "UPDATE millrace.image i SET callback_due = clock_timestamp() + interval '90 seconds'"
        " FROM millrace.image_source s LEFT JOIN millrace.image_facts f USING (digest)"
        " WHERE s.digest = i.digest AND i.image_id IN ("
        "  SELECT image_id FROM millrace.image JOIN millrace.image_source USING (digest)"
        "  WHERE callback_due <= clock_timestamp() AND state IN ('done', 'failed') AND deleted_at IS NULL"
        "  ORDER BY callback_due LIMIT %s FOR UPDATE OF image SKIP LOCKED)"
        " RETURNING i.image_id, i.callback_url, i.callback_attempts, i.file_name, i.tags, i.metadata,"
        f"  s.state, s.code, s.reason, {facts.COLUMNS}",
        [AT_A_TIME],
    ).fetchall()
    return [
        Call(row["image_id"], row["callback_url"], row["callback_attempts"], json.dumps(_told(row, base_url)).encode())
        for row in rows
    ]


def _told(row: dict[str, Any], base_url: str) -> dict[str, Any]:
    """What a callback says of its picture."""
    return {
        "id": str(row["image_id"]),
        **{name: row[name] for name in ("state", "file_name", "tags", "metadata")},
        "url": f"{base_url}/images/{row['image_id']}",
        **({"code": row["code"], "reason": row["reason"]} if row["state"] == "failed" else {}),
        **({"facts": facts.shown(row)} if row["state"] == "done" else {}),
    }


def _call(client: httpx.Client, callbacks: Callbacks, call: Call) -> tuple[bool, str]:
    if not callbacks.allows(call.url):
        return False, "its address is not allowed, or no longer"
    headers = {
        "Content-Type": "application/json",
        "Millrace-Signature": callbacks.signature(call.body, int(time.time())),
    }
    try:
        answer = client.post(call.url, content=call.body, headers=headers)
    except Exception as fault:  # whatever it is that one call raises, the others are made and entered
        return False, _storable(f"{type(fault).__name__}: {fault}")
    return answer.is_success, f"HTTP {answer.status_code}"


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL."""
    return text.replace("\0", "")[:300]
