"""An object of a storage, read by ranges through a file system of fsspec, and never as a whole.

Of S3 each range is asked for under the condition that the object still has the tag that it was planned with. Where the
file system is of another kind, the mark is looked at before and after a step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from include.ingest.errors import IngestError, SourceChanged, SourceDamaged, SourceMissing, SourceRefused, StorageAway
from include.ingest.source import Mark, OneFile, Spans
from include.ingest.source.read_ahead import Ahead
from include.ingest.source.signed_ranges import direct

LANES = 8  # ranges in flight while a file is planned
TRIES = 3  # for one range; the file system has its own tries for each request
PAUSE_SECONDS = 0.5  # short, as the file system pauses between its own tries
GONE = ("PreconditionFailed", "412", "NoSuchKey", "NoSuchVersion", "404", "InvalidRange", "416")

Connect = Callable[[str], tuple[Any, str]]


class RemoteFile(OneFile):
    """An object; `connect` gives the file system of a URL and the path in it, once, at the first use."""

    lanes = LANES

    def __init__(self, url: str, connect: Connect, mark: Mark | None = None) -> None:
        self._url, self._connect, self._mark = url, connect, mark
        self._lock = threading.Lock()
        self._found: tuple[Any, str] | None = None

    def __str__(self) -> str:
        return self._url

    @property
    def proves(self) -> bool:
        """Whether the tag changes with the content: S3 sees to that."""
        return hasattr(self._reached()[0], "call_s3")

    def mark(self) -> Mark:
        """Size and tag, or what else the storage has for one."""
        fs, path = self._reached()
        try:
            fs.invalidate_cache()  # a listing is out of date at once
            found = fs.info(path)
        except Exception as fault:  # each file system has errors of its own
            raise self._error(fault, SourceMissing(f"{self} is not there")) from fault
        if found.get("type") == "directory":
            raise SourceMissing(f"{self} is not there: only objects below it are")
        return mark_in(found)

    def pinned(self, mark: Mark) -> RemoteFile:
        """The same object, as long as it has this mark."""
        return RemoteFile(self._url, self._connect, mark)

    @contextmanager
    def open(self) -> Iterator[_OpenObject]:
        """To read at any place."""
        yield self._open()

    @contextmanager
    def ahead(self, spans: Spans) -> Iterator[Ahead]:
        """To read in these spans, with the next ranges in flight."""
        opened = self._open()
        with Ahead(opened, spans) as ahead:
            yield ahead

    def _open(self) -> _OpenObject:
        return _OpenObject(self, self._mark or self.mark())

    def fetch(self, mark: Mark, first: int, end: int) -> bytes:
        """These bytes of the object with that mark."""
        fs, path = self._reached()
        for rest in range(TRIES - 1, -1, -1):
            try:
                if hasattr(fs, "call_s3"):
                    return _fetch_s3(fs, path, mark.version, first, end)
                return bytes(fs.cat_file(path, start=first, end=end))
            except Exception as fault:
                changed = SourceChanged(
                    f"{self} was replaced or removed since it was planned: clear the run's `plan` task to start it anew"
                )
                error = self._error(fault, changed)
                if error is changed or not rest:
                    raise error from fault
            time.sleep(PAUSE_SECONDS)
        raise AssertionError("unreachable")

    def _reached(self) -> tuple[Any, str]:
        with self._lock:
            if self._found is None:
                try:
                    self._found = self._connect(self._url)
                except Exception as fault:
                    raise unreachable(fault, f"{self} can't be reached") from fault
            return self._found

    def _error(self, fault: Exception, gone: IngestError) -> IngestError:
        response = getattr(fault.__cause__, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", ""))
        if code != "NoSuchBucket" and (code in GONE or isinstance(fault, FileNotFoundError)):
            return gone
        return StorageAway(f"{self} can't be read: {fault or type(fault).__name__}")


class _OpenObject:
    """An object of a known mark."""

    def __init__(self, file: RemoteFile, mark: Mark) -> None:
        self._file, self._mark = file, mark

    @property
    def size(self) -> int:
        return self._mark.size

    def read(self, offset: int, length: int) -> bytes:
        data = self._file.fetch(self._mark, offset, offset + length) if length else b""
        if len(data) > length:
            raise SourceDamaged(
                f"{self._file}: its server sends all of the file where a part is asked for, so it can't be read by"
                " ranges: download it first, and give the copy"
            )
        if len(data) != length:
            raise SourceChanged(f"{self._file} ends at byte {offset + len(data)}; it was longer when it was planned")
        return data

    def read_into(self, window: np.ndarray, offset: int) -> None:
        window[:] = np.frombuffer(self.read(offset, len(window)), np.uint8)

    def forget(self, offset: int, length: int) -> None:
        """Nothing is kept."""


def unreachable(fault: Exception, what: str) -> IngestError:
    """Why no file system was found for a URL. An unknown scheme stays unknown, however often it is tried."""
    final = isinstance(fault, ValueError | ImportError)
    return (SourceRefused if final else StorageAway)(f"{what}: {fault or type(fault).__name__}")


def _fetch_s3(fs: Any, path: str, tag: str, first: int, end: int) -> bytes:
    data = direct(fs, path).get(tag, first, end)
    return _fetch_by_s3fs(fs, path, tag, first, end) if data is None else data


def _fetch_by_s3fs(fs: Any, path: str, tag: str, first: int, end: int) -> bytes:
    from fsspec.asyn import sync

    bucket, key, version = fs.split_path(path)

    async def fetch() -> bytes:
        condition = {"IfMatch": tag} if tag else {}
        versioned = {"VersionId": version} if version else {}
        found = await fs._call_s3(
            "get_object", Bucket=bucket, Key=key, Range=f"bytes={first}-{end - 1}", **condition, **versioned
        )
        async with found["Body"] as body:
            return bytes(await body.read())

    return bytes(sync(fs.loop, fetch))


def mark_in(found: dict[str, Any]) -> Mark:
    """The mark of an object, from what a file system tells of it."""
    return Mark(int(found["size"] or 0), _version(found))


def _version(found: dict[str, Any]) -> str:
    """What changes with the object; each file system has its own names for it."""
    for name in (
        "ETag",
        "etag",
        "md5Hash",
        "generation",
        "LastModified",
        "last_modified",
        "updated",
        "mtime",
        "created",
    ):
        if found.get(name):
            return str(found[name])
    return ""
