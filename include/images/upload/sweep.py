"""Takes a folder of pictures in, as if each had been uploaded."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

from psycopg import Connection

from include.images.inbox import SWEPT, hold, ring
from include.images.limits import LIMITS, Limits
from include.images.objects import Objects
from include.images.store import Store
from include.images.upload.checked_file import Intake, Refused
from include.images.upload.request_files import clean_name

READ_BYTES = 1 << 20


class Found(NamedTuple):
    """A file of the folder: where it is, its size, what tells whether it has changed, and how to read it."""

    place: str
    bytes: int
    mark: str | None
    open: Callable[[], AbstractContextManager[BinaryIO]]


def sweep(
    connection: Connection[Any], store: Store, folder: Path | Objects, *, owner: str, limits: Limits = LIMITS,
    recipes: str = "",
) -> dict[str, int]:  # fmt: skip
    """Take in every picture below a folder, for a choice of `recipes`; those that are in already are passed over.

    Files stay where they are. One that has not changed since an earlier sweep is not read again. Returns how many were
    taken, known and refused. A folder that is not there counts as empty.
    """
    counts = {"taken": 0, "known": 0, "refused": 0}
    for file in files(folder):
        if _is_known(connection, file):
            counts["known"] += 1
            continue
        try:
            counts["taken" if _take(connection, store, file, owner, limits, recipes) else "known"] += 1
        except Refused:
            counts["refused"] += 1
    return counts


def files(folder: Path | Objects) -> Iterator[Found]:
    """The files below a folder, in order of their names; hidden ones and links are left out."""
    if isinstance(folder, Objects):
        for key, size, mark in folder.entries():
            place = f"{folder}/{key}" if key else str(folder)
            if not _name(place).startswith("."):
                yield Found(place, size, mark, partial(folder.reading, key))
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            seen = path.stat()
            yield Found(str(path), seen.st_size, f"{seen.st_size} {seen.st_mtime_ns}", partial(_open, path, folder))


def _open(path: Path, folder: Path) -> BinaryIO:
    """Open a file of the folder: no link or pipe that has taken its place since, nor one behind a linked folder."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise Refused(422, "no-file", f"{path} is a link") from None
        raise
    file = os.fdopen(handle, "rb")
    # By its text, as the folder was resolved before it was judged: by now it may be a link itself.
    real = Path(f"/proc/self/fd/{handle}").readlink()
    if not S_ISREG(os.fstat(handle).st_mode) or not real.is_relative_to(folder):
        file.close()
        raise Refused(422, "no-file", f"{path} is no file of {folder}")
    return file


def _name(place: str) -> str:
    return place.rpartition("/")[2]


def _is_known(connection: Connection[Any], file: Found) -> bool:
    """Whether this very file was swept, and its picture not deleted since."""
    found = connection.execute(
        "SELECT FROM millrace.image_swept JOIN millrace.image_source USING (digest) WHERE place = %s AND mark = %s",
        [file.place, file.mark],
    )
    return bool(found.rowcount)


def _take(connection: Connection[Any], store: Store, file: Found, owner: str, limits: Limits, recipes: str) -> bool:
    if file.bytes > limits.file_bytes:
        raise Refused(413, "too-large", f"the file is larger than {limits.file_bytes / 1e6:g} MB")
    intake = Intake(store, limits)
    try:
        with file.open() as source:
            while part := source.read(READ_BYTES):
                intake.write(part)
        intake.complete()
        with connection.transaction():
            hold(connection, intake.digest)
            intake.keep()
            fresh = connection.execute(
                "INSERT INTO millrace.image_source (digest, bytes, priority) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [intake.digest, intake.size, SWEPT],
            ).rowcount
            if fresh:
                connection.execute(
                    "INSERT INTO millrace.image (image_id, digest, owner, file_name, recipes)"
                    " VALUES (%s, %s, %s, %s, %s)",
                    [uuid4(), intake.digest, owner, clean_name(_name(file.place), limits), recipes],
                )
                ring(connection)
            if file.mark is not None:
                connection.execute(
                    "INSERT INTO millrace.image_swept (place, mark, digest) VALUES (%s, %s, %s) ON CONFLICT (place)"
                    " DO UPDATE SET mark = excluded.mark, digest = excluded.digest",
                    [file.place, file.mark, intake.digest],
                )
        return bool(fresh)
    finally:
        intake.close()
