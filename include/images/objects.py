"""An object storage as the store, or as a folder to sweep, through a file system of fsspec.

A file is stored by one PUT, which is atomic, so an object is whole or not there. Files under way lie in a folder of
this machine. What goes wrong comes out as StoreAway, or as NotStored when the storage works and has no such object.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from fsspec.dircache import DirCache

from include.images.errors import ImageError
from include.images.store import (
    AT_ONCE,
    LEFTOVER_SECONDS,
    Name,
    NotStored,
    StoreAway,
    StoreFull,
    remove_leftovers,
    rendition_key,
    source_key,
)

PUT_BYTES = 64 << 20  # a PUT holds its file in memory: so much is under way at once in a process, or one larger file
BLOCK_BYTES = 4 << 20  # what a file that is read from end to end is read in


class Damaged(ImageError):
    """An object is not what was stored under its name."""

    code = "damaged"


class Entry(NamedTuple):
    """An object of a listing."""

    key: str
    bytes: int
    mark: str | None  # changes when the object does; None where the storage tells nothing of the kind


class Objects:
    """A place in an object storage, and what is below it.

    `connect` is called once, at the first use; it gives a file system of fsspec and the path of the place in it, which
    begins with the bucket.
    """

    def __init__(self, url: str, connect: Callable[[], tuple[Any, str]]) -> None:
        self.url = url
        self._connect = connect
        self._lock = threading.Lock()
        self._found: tuple[Any, str] | None = None
        self._room = _Room(PUT_BYTES)

    def __str__(self) -> str:
        return self.url

    def has(self, key: str) -> bool:
        """Whether there is an object of that name."""
        try:
            with self._reached(key) as (fs, path):
                fs.info(path)
        except NotStored:
            return False
        return True

    def put(self, file: Path, key: str) -> None:
        """Store a file, in place of an object of that name."""
        with self._room.take(file.stat().st_size), self._reached(key, absent=False) as (fs, path):
            fs.put_file(str(file), path)

    def get(self, key: str, file: Path) -> None:
        """Copy an object into a file of this machine."""
        with self._reached(key) as (fs, path):
            fs.get_file(path, str(file))

    def read(self, key: str, first: int, length: int) -> bytes:
        """So many bytes of an object from byte `first` on; fewer at its end."""
        with self._reached(key) as (fs, path):
            return bytes(fs.cat_file(path, start=first, end=first + length))

    @contextmanager
    def reading(self, key: str) -> Iterator[BinaryIO]:
        """An object to be read from end to end, in blocks."""
        with (
            self._reached(key) as (fs, path),
            fs.open(path, "rb", block_size=BLOCK_BYTES, cache_type="readahead") as file,
        ):
            yield cast("BinaryIO", file)

    def entries(self, below: str = "") -> list[Entry]:
        """The objects below the place, or below a folder of it, in order of their names."""
        try:
            with self._reached(below) as (fs, path):
                found = fs.find(path, detail=True).values()
                root = path.removesuffix(below).rstrip("/")
        except NotStored:
            return []
        return sorted(
            Entry(one["name"][len(root) + 1 :], int(one["size"] or 0), _mark(one))
            for one in found
            if one["type"] == "file" and not one["name"].endswith("/")
        )

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(NotStored), self._reached(key) as (fs, path):
            fs.rm_file(path)

    @contextmanager
    def _reached(self, key: str, *, absent: bool = True) -> Iterator[tuple[Any, str]]:
        """The file system and the path of an object. With `absent`, that the object is not there has its own error."""
        try:
            fs, root = self._connected()
            yield fs, f"{root}/{key}" if key else root
        except ImageError:
            raise
        except Exception as fault:  # each file system has errors of its own
            if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull("there is no space left for files in progress") from fault
            if absent and isinstance(fault, FileNotFoundError) and self._has_bucket():
                raise NotStored(f"{key} is not in {self.url}") from fault
            raise StoreAway(f"{self.url} can't be used: {fault or type(fault).__name__}") from fault

    def _connected(self) -> tuple[Any, str]:
        with self._lock:
            if self._found is None:
                fs, root = self._connect()
                # Another process changes what is there, so a listing is out of date at once.
                fs.dircache = DirCache(use_listings_cache=False)
                self._found = fs, str(fs._strip_protocol(root)).rstrip("/")
            return self._found

    def _has_bucket(self) -> bool:
        if self._found is None:
            return False
        fs, root = self._found
        return bool(fs.exists(root.lstrip("/").partition("/")[0]))


class ObjectStore:
    """A store in an object storage."""

    def __init__(self, objects: Objects, scratch: Path) -> None:
        self.objects = objects
        self._scratch = scratch
        self._tidied = False

    def scratch(self) -> Path:
        """A folder of this machine for files under way."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._tidied:  # nobody else may ever come by on this machine
            self._tidied = True
            self.tidy()
        return self._scratch

    def has_source(self, digest: str) -> bool:
        """Whether the source of that sha256 is stored."""
        return self.objects.has(source_key(digest))

    def keep_source(self, fresh: Path, digest: str) -> None:
        """Store a finished file as that source."""
        self.objects.put(fresh, source_key(digest))

    def source(self, digest: str, folder: Path) -> Path:
        """A copy of the source in `folder`. Raises Damaged when it is not what was stored."""
        file = folder / "source"
        self.objects.get(source_key(digest), file)
        with file.open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").hexdigest() != digest:
                raise Damaged("its file is not what was uploaded: it came back from the store changed")
        return file

    def read_source(self, digest: str, first: int, length: int) -> bytes:
        """So many bytes of a source from byte `first` on."""
        return self.objects.read(source_key(digest), first, length)

    def keep_renditions(self, made: Mapping[Name, Path]) -> None:
        """Store finished files, some at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self.objects.put(made[name], name.key), made))

    def drop_renditions(self, names: Iterable[Name]) -> None:
        """Remove renditions."""
        for name in names:
            self.objects.remove(name.key)

    def read_rendition(self, digest: str, recipe: str, file: str, first: int, length: int) -> bytes:
        """So many bytes of a rendition from byte `first` on."""
        return self.objects.read(rendition_key(digest, recipe, file), first, length)

    def drop(self, digest: str) -> None:
        """Remove a source and everything made of it."""
        folder = rendition_key(digest)
        for entry in self.objects.entries(folder):
            self.objects.remove(entry.key)
        self.objects.remove(source_key(digest))

    def tidy(self, age_seconds: float = LEFTOVER_SECONDS) -> int:
        """Remove what processes that died left in the scratch folder of this machine."""
        return remove_leftovers(self._scratch, age_seconds)


def _mark(entry: dict[str, Any]) -> str | None:
    """What a listing tells that changes with the object; each file system has its own names for it."""
    for name in ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime"):
        if entry.get(name):
            return f"{entry['size']} {entry[name]}"
    return None


class _Room:
    """So many bytes may be taken at once; more than that only alone."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()  # who waits for room goes first, however large

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + wanted <= self._most)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()
