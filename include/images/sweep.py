"""Takes a folder of pictures in, as if each had been uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import Connection

from include.images.doorbell import CHANNEL
from include.images.inbox import SWEPT
from include.images.intake import Intake, Refused
from include.images.limits import LIMITS, Limits
from include.images.receive import clean_name
from include.images.store import FolderStore

READ_BYTES = 1 << 20
TRANSACTION_FILES = 100


def sweep(
    connection: Connection[Any], store: FolderStore, folder: Path, *, owner: str, limits: Limits = LIMITS
) -> dict[str, int]:
    """Take in every picture below a folder; those that are in already are passed over. Files stay where they are.

    Returns how many were taken, known and refused.
    """
    counts = {"taken": 0, "known": 0, "refused": 0}
    for file in files(folder):
        try:
            counts["taken" if _take(connection, store, file, owner, limits) else "known"] += 1
        except Refused:
            counts["refused"] += 1
    return counts


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, in order of their names; hidden ones and links are left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            yield path


def _take(connection: Connection[Any], store: FolderStore, file: Path, owner: str, limits: Limits) -> bool:
    intake = Intake(store, limits)
    try:
        with file.open("rb") as source:
            while part := source.read(READ_BYTES):
                intake.write(part)
        intake.complete()
        with connection.transaction():
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"millrace image {intake.digest}"]
            )
            intake.keep()
            fresh = connection.execute(
                "INSERT INTO millrace.image_source (digest, bytes, priority) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [intake.digest, intake.bytes, SWEPT],
            ).rowcount
            if fresh:
                connection.execute(
                    "INSERT INTO millrace.image (image_id, digest, owner, file_name) VALUES (%s, %s, %s, %s)",
                    [uuid4(), intake.digest, owner, clean_name(file.name, limits)],
                )
                connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        return bool(fresh)
    finally:
        intake.close()
