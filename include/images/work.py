"""One batch: each picture in a child of its own, its renditions into the store, the outcome into the list of work."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from include.images import inbox
from include.images.errors import ImageError
from include.images.limits import LIMITS
from include.images.recipes import Recipes
from include.images.sandbox import render_safely
from include.images.store import FolderStore

LONGEST_SECONDS = 300.0  # after this a task ends, and the next run goes on


def resize_batch(
    connection: Connection[Any], store: FolderStore, recipes: Recipes, batch: UUID, *, lanes_free: bool = False
) -> dict[str, Any]:
    """Make the renditions of a batch, and of what waits meanwhile: further claims go under the same batch.

    Safe to run again: what is done is not done twice. With `lanes_free`, more tasks could work than do; it ends after
    its batch when more than a batch waits, so that the next run shares it. Returns how many are done and failed, and
    the seconds.
    """
    began = time.monotonic()
    counts: Counter[str] = Counter(done=0, failed=0)
    while True:
        for digest, attempts in inbox.batch_of(connection, batch):
            counts[_resize(connection, store, recipes, batch, digest, attempts)] += 1
        if time.monotonic() - began > LONGEST_SECONDS or (lanes_free and inbox.waiting(connection) > inbox.BATCH):
            break
        if not inbox.claim(connection, batch):
            break
    return {**counts, "seconds": round(time.monotonic() - began, 3)}


def _resize(
    connection: Connection[Any], store: FolderStore, recipes: Recipes, batch: UUID, digest: str, attempts: int
) -> str:
    """`done`, `failed` for now or for good, or `lost` to another batch."""
    if attempts >= LIMITS.attempts:
        reason = f"its worker died {attempts} times while it was resized"
        inbox.fail(connection, batch, digest, "killed", reason, final=True)
        return "failed"
    inbox.begin(connection, batch, digest)
    try:
        return "done" if _render(connection, store, recipes, batch, digest) else "lost"
    except ImageError as error:
        inbox.fail(connection, batch, digest, error.code, str(error), final=error.permanent)
        return "failed"


def _render(connection: Connection[Any], store: FolderStore, recipes: Recipes, batch: UUID, digest: str) -> bool:
    folder = Path(tempfile.mkdtemp(dir=store.scratch().parent, prefix="resize-"))
    try:
        rendered = render_safely(store.source(digest), recipes, folder)
        for one in rendered.renditions:
            store.keep(folder / one.file, store.rendition(digest, one.recipe, one.file))
        return inbox.finish(connection, batch, digest, recipes.identity, rendered)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
