"""One batch: each picture in a child of its own, its renditions into the store, the outcome into the list of work."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from include.images import inbox
from include.images.errors import ImageError
from include.images.limits import LIMITS
from include.images.recipes import Recipes
from include.images.render import Rendition
from include.images.sandbox import Sandbox
from include.images.store import Store, StoreFault, full

LONGEST_SECONDS = 300.0  # after this a task ends, and the next run goes on
KEEPS = 8  # files that are stored at once: each waits for a disk or a server
STALLS = 2  # pictures in a row that the store fails at, before the rest is left for later


def resize_batch(
    connection: Connection[Any], store: Store, recipes: Recipes, batch: UUID, *, lanes_free: bool = False
) -> dict[str, Any]:
    """Make the renditions of a batch, and of what waits meanwhile: further claims go under the same batch.

    Safe to run again: what is done is not done twice. With `lanes_free`, more tasks could work than do; it ends after
    its batch when more than a batch waits, so that the next run shares it. Returns how many are done and failed, and
    the seconds. Raises StoreFault when the store gives or takes nothing: what is left stays claimed, for a retry or
    until the claim is over, and loses no attempt.
    """
    began = time.monotonic()
    counts: Counter[str] = Counter(done=0, failed=0)
    with Sandbox(recipes) as sandbox:
        here = _Here(connection, store, recipes, batch, sandbox)
        while True:
            _work_off(here, counts)
            if time.monotonic() - began > LONGEST_SECONDS or (lanes_free and inbox.waiting(connection) > inbox.BATCH):
                break
            if not inbox.claim(connection, batch):
                break
    return {**counts, "seconds": round(time.monotonic() - began, 3)}


@dataclass(frozen=True)
class _Here:
    """What a batch is worked on with."""

    connection: Connection[Any]
    store: Store
    recipes: Recipes
    batch: UUID
    sandbox: Sandbox


def _work_off(here: _Here, counts: Counter[str]) -> None:
    """Make what is claimed now. A picture that the store fails at is passed over; so many in a row end it."""
    fault: StoreFault | None = None
    stalls = 0
    for digest, attempts in inbox.batch_of(here.connection, here.batch):
        try:
            counts[_resize(here, digest, attempts)] += 1
            stalls = 0
        except StoreFault as error:
            inbox.stall(here.connection, here.batch, digest, error.code, str(error))
            fault, stalls = error, stalls + 1
            if stalls >= STALLS:
                break
    if fault is not None:
        raise fault


def _resize(here: _Here, digest: str, attempts: int) -> str:
    """`done`, `failed` for now or for good, or `lost` to another batch. Raises StoreFault."""
    if attempts >= LIMITS.attempts:
        reason = f"its worker died {attempts} times while it was resized"
        inbox.fail(here.connection, here.batch, digest, "killed", reason, final=True)
        return "failed"
    inbox.begin(here.connection, here.batch, digest)
    try:
        return "done" if _render(here, digest) else "lost"
    except StoreFault:
        raise
    except ImageError as error:
        inbox.fail(here.connection, here.batch, digest, error.code, str(error), final=error.permanent)
        return "failed"


def _render(here: _Here, digest: str) -> bool:
    try:
        folder = Path(tempfile.mkdtemp(dir=here.store.scratch(), prefix="resize-"))
    except OSError as fault:
        raise full(fault) from fault

    def keep(one: Rendition) -> None:
        here.store.keep_rendition(folder / one.file, digest, one.recipe, one.file)

    try:
        rendered = here.sandbox.render(here.store.source(digest, folder), folder)
        with ThreadPoolExecutor(KEEPS) as pool:  # ended before the next fork
            list(pool.map(keep, rendered.renditions))
        return inbox.finish(here.connection, here.batch, digest, here.recipes.identity, rendered)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
