"""Where sources and renditions lie: named by content, and whole or not there. A folder, or an object storage.

Names are made here, never of what a user wrote: `source/ab/<sha256>` and `rendition/ab/<sha256>/<recipe>/<name>.<ext>`.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from include.images.errors import ImageError
from include.roots import Roots

AT_ONCE = 8  # files that are stored at once: each waits for a disk or a server
LEFTOVER_SECONDS = 86_400.0  # a file under way that is older was left by a process that died


class StoreFault(ImageError):
    """The store can't give or take a file now: not the picture's fault, and later it may work."""


class StoreFull(StoreFault):
    """No room is left in the store."""

    code = "disk-full"


class StoreAway(StoreFault):
    """The store can't be reached, or refuses to serve."""

    code = "store-away"


class NotStored(ImageError):
    """The store works, and has no such file."""

    code = "missing"
    permanent = True


class Name(NamedTuple):
    """Which rendition: the source's sha256, the recipe's identity, the file's name."""

    digest: str
    recipe: str
    file: str

    @property
    def key(self) -> str:
        """Where it belongs, below the root of a store."""
        return rendition_key(*self)


class Store(Protocol):
    """What the image service asks of a store. Every method blocks; all may raise StoreFault."""

    def scratch(self) -> Path:
        """A folder of this machine for files under way."""
        ...

    def has_source(self, digest: str) -> bool:
        """Whether the source of that sha256 is stored."""
        ...

    def keep_source(self, fresh: Path, digest: str) -> None:
        """Store a finished file of the scratch folder as that source: whole and lasting when this returns."""
        ...

    def source(self, digest: str, folder: Path) -> Path:
        """A source as a file of this machine: the stored one itself, or a copy in `folder`. Raises NotStored."""
        ...

    def read_source(self, digest: str, first: int, length: int) -> bytes:
        """So many bytes of a source from byte `first` on; fewer at its end. Raises NotStored."""
        ...

    def keep_renditions(self, made: Mapping[Name, Path]) -> None:
        """Store finished files of the scratch folder, in place of earlier ones: all lasting when this returns.

        After a fault some of them may be stored. No thread of this is alive when it returns.
        """
        ...

    def drop_renditions(self, names: Iterable[Name]) -> None:
        """Remove renditions; what is not there is passed over."""
        ...

    def read_rendition(self, digest: str, recipe: str, file: str, first: int, length: int) -> bytes:
        """So many bytes of a rendition from byte `first` on; fewer at its end. Raises NotStored."""
        ...

    def drop(self, digest: str) -> None:
        """Remove a source and everything made of it; what is not there is passed over."""
        ...

    def tidy(self, age_seconds: float = LEFTOVER_SECONDS) -> int:
        """Remove what processes that died left in the scratch folder; returns how many files and folders."""
        ...


def source_key(digest: str) -> str:
    """Where the source of that sha256 lies, below the root of a store."""
    return f"source/{digest[:2]}/{digest}"


def rendition_key(digest: str, recipe: str = "", file: str = "") -> str:
    """Where a rendition lies, or with the digest alone, all of them."""
    return "/".join(filter(None, ("rendition", digest[:2], digest, recipe, file)))


class FolderStore:
    """A store in a folder of a file system that has rename and fsync."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def scratch(self) -> Path:
        """A folder for files under way, on the same file system as what they become."""
        folder = self.root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():  # uploads would lie where somebody else wants them
            raise StoreAway(f"{folder} is a link: remove it")
        return folder

    def has_source(self, digest: str) -> bool:
        """Whether the source of that sha256 is stored."""
        return (self.root / source_key(digest)).exists()

    def keep_source(self, fresh: Path, digest: str) -> None:
        """Give a finished file its lasting name, on disk before this returns."""
        self._keep(fresh, self.root / source_key(digest))

    def source(self, digest: str, folder: Path) -> Path:
        """The stored file itself."""
        place = self.root / source_key(digest)
        if not place.exists():
            if not (self.root / "source").is_dir():
                raise StoreAway(f"there is nothing in {self.root}: is it mounted?")
            raise NotStored("its file is not in the store any more")
        return place

    def read_source(self, digest: str, first: int, length: int) -> bytes:
        """So many bytes of a source from byte `first` on."""
        return self._read(source_key(digest), first, length)

    def keep_renditions(self, made: Mapping[Name, Path]) -> None:
        """Give finished files their lasting names. The disk is waited for once, or twice, for all of them."""
        places = {fresh: self.root / name.key for name, fresh in made.items()}
        folders = {folder for place in places.values() for folder in place.parents if self.root in folder.parents}
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(_name, places, places.values()))
                list(pool.map(_sync_folder, [*folders, self.root]))
        except OSError as fault:
            raise full(fault) from fault

    def drop_renditions(self, names: Iterable[Name]) -> None:
        """Remove renditions, and the folders that become empty."""
        for name in names:
            place = self.root / name.key
            place.unlink(missing_ok=True)
            with suppress(OSError):
                place.parent.rmdir()

    def read_rendition(self, digest: str, recipe: str, file: str, first: int, length: int) -> bytes:
        """So many bytes of a rendition from byte `first` on."""
        return self._read(rendition_key(digest, recipe, file), first, length)

    def drop(self, digest: str) -> None:
        """Remove a source and everything made of it."""
        (self.root / source_key(digest)).unlink(missing_ok=True)
        try:
            shutil.rmtree(self.root / rendition_key(digest))
        except OSError as fault:
            # A task that makes renditions of it just now puts them in; `tidy` comes again.
            if fault.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise

    def tidy(self, age_seconds: float = LEFTOVER_SECONDS) -> int:
        """Remove what processes that died left in `incoming/`."""
        return remove_leftovers(self.root / "incoming", age_seconds)

    def _read(self, key: str, first: int, length: int) -> bytes:
        name = key.rpartition("/")[2]
        try:
            with open(self.root / key, "rb", opener=_plain) as stored:
                # Workers write here, and the server of the pages, which reads, has secrets that they have not.
                if Roots((self.root,)).refusal_of_open(stored.fileno(), name):
                    raise NotStored(f"{name} is not in the store: a link is in its place")
                stored.seek(first)
                return stored.read(length)
        except FileNotFoundError:
            raise NotStored(f"{name} is not in the store any more") from None

    def _keep(self, fresh: Path, place: Path) -> None:
        try:
            _make(place.parent)
            _name(fresh, place)
            _sync_folder(place.parent)
        except OSError as fault:
            raise full(fault) from fault


def full(fault: OSError) -> Exception:
    """StoreFull for a full disk or quota, the fault itself otherwise."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("the image store is full")
    return fault


def remove_leftovers(folder: Path, age_seconds: float) -> int:
    """Remove files and folders of a scratch folder that nothing has changed for so long; returns how many."""
    before, count = time.time() - age_seconds, 0
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.lstat().st_mtime > before:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            count += 1
        except FileNotFoundError:  # another process tidies too
            continue
    return count


def _name(fresh: Path, place: Path) -> None:
    """Give a file a name once its bytes are on disk; one that an earlier try has named is left."""
    try:
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        if place.exists():
            return
        raise
    try:
        fresh.replace(place)
    except FileNotFoundError:  # the first of its folder, or somebody deletes the picture just now
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(place)


def _plain(path: str, flags: int) -> int:
    """Open no link, and wait for no pipe."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as fault:
        if fault.errno != errno.ELOOP:
            raise
        raise FileNotFoundError(fault.errno, "a link is in its place", path) from None


def _make(folder: Path) -> None:
    """Make a folder and those above it, each on disk before this returns."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # somebody has deleted the picture
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
