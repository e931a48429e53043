"""Stores for the tests, in a folder or in a bucket of an S3 server; another process can open the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.images.objects import Objects, ObjectStore
from include.images.store import FolderStore, Store

KEYS = ("tester", "tester-secret")
# Quick to give up: the server is on this machine.
CONFIG = {
    "connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 1},
    "signature_version": "s3v4",
}  # fmt: skip


def s3(endpoint: str) -> Any:
    """A file system on that server, shared by all who ask."""
    from s3fs import S3FileSystem

    S3FileSystem.retries = 2
    return S3FileSystem(
        key=KEYS[0], secret=KEYS[1], endpoint_url=endpoint, client_kwargs={"region_name": "eu-central-1"},
        config_kwargs=CONFIG,
    )  # fmt: skip


def bucket(endpoint: str, path: str) -> Objects:
    """A place in a bucket of that server."""
    return Objects(f"s3://{path}", lambda: (s3(endpoint), path))


def open_store(spec: Sequence[str]) -> Store:
    """The store of a Place's `spec`."""
    root, *place = spec
    return ObjectStore(bucket(*place), Path(root)) if place else FolderStore(Path(root))


@dataclass(frozen=True)
class Place:
    """A store to look into. `spec` is its folder, or the scratch folder with the server's URL and the place there."""

    spec: tuple[str, ...]
    store: Store

    def stored(self) -> list[str]:
        """What is in the store, with files under way."""
        root = Path(self.spec[0])
        local = [str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()]
        kept = self.store.objects.entries() if isinstance(self.store, ObjectStore) else []
        return sorted([*local, *(entry.key for entry in kept)])
