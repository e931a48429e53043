"""One batch: each picture in a child of its own, its renditions into the store, the outcome into the list of work."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from include.images import inbox
from include.images.errors import ImageError
from include.images.recipes import Recipes
from include.images.sandbox import render_safely
from include.images.store import FolderStore

EXTEND_SECONDS = 60.0


def resize_batch(connection: Connection[Any], store: FolderStore, recipes: Recipes, batch: UUID) -> dict[str, Any]:
    """Make the renditions of a batch. Safe to run again: what is done is not done twice.

    Returns the number of pictures done and failed, and seconds.
    """
    began = extended = time.monotonic()
    done = failed = 0
    for digest, _ in inbox.batch_of(connection, batch):
        try:
            done += _resize(connection, store, recipes, batch, digest)
        except ImageError as error:
            inbox.fail(connection, batch, digest, error.code, str(error), final=error.permanent)
            failed += 1
        if time.monotonic() - extended > EXTEND_SECONDS:
            inbox.extend(connection, batch)
            extended = time.monotonic()
    return {"done": done, "failed": failed, "seconds": round(time.monotonic() - began, 3)}


def _resize(connection: Connection[Any], store: FolderStore, recipes: Recipes, batch: UUID, digest: str) -> bool:
    folder = Path(tempfile.mkdtemp(dir=store.scratch().parent, prefix="resize-"))
    try:
        rendered = render_safely(store.source(digest), recipes, folder)
        for one in rendered.renditions:
            store.keep(folder / one.file, store.rendition(digest, one.recipe, one.file))
        return inbox.finish(connection, batch, digest, recipes.identity, rendered)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
