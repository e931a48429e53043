"""Takes a file in as it comes: limits, hash and type are checked on the way, and nothing half-written stays."""

from __future__ import annotations

import hashlib
import os
import secrets

from include.images.engine.formats.signature import HEAD_BYTES, accepted, refusal
from include.images.errors import ImageError, SettingError
from include.images.limits import Limits
from include.images.store import Store, full

WRITE_BYTES = 256 << 10
VECTORS = 1000  # parts that one writev takes


class Refused(ImageError):
    """An upload that is not taken in; `status` is the HTTP status that says so."""

    permanent = True

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.code = status, code


class Intake:
    """One file under way. `close` removes what was not kept."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store, self._limits = store, limits
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._held = self._written = 0
        try:
            self._path = store.scratch() / secrets.token_hex(16)
            self._file: int | None = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except OSError as fault:
            raise full(fault) from fault

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._written + self._held

    @property
    def digest(self) -> str:
        """sha256 of what was taken so far."""
        return self._hash.hexdigest()

    def write(self, part: bytes) -> None:
        """Take more of the file. Raises Refused as soon as a limit is passed or the type is none of ours."""
        self._hash.update(part)
        self._parts.append(part)
        self._held += len(part)
        if self.size > self._limits.file_bytes:
            raise Refused(413, "too-large", f"the file is larger than {self._limits.file_bytes / 1e6:g} MB")
        if self._held >= WRITE_BYTES:
            self._flush()

    def complete(self) -> None:
        """All of it has come. Raises Refused when it is none of our types."""
        if not self.size:
            raise Refused(400, "empty", "the file is empty")
        self._flush()

    def keep(self) -> None:
        """Put the whole file into the store, lasting when this returns. Blocks; call it off the event loop."""
        if not self._store.has_source(self.digest):
            self._store.keep_source(self._path, self.digest)

    def close(self) -> None:
        """Let go of the file, and remove it unless it was kept."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._file is None or not self._held:
            return
        if not self._written:
            head = b"".join(self._parts[:HEAD_BYTES])[:HEAD_BYTES]
            try:
                if accepted(head) is None:
                    raise Refused(415, "type", refusal(head))
            except SettingError as fault:  # nobody's upload is at fault
                raise Refused(503, fault.code, str(fault)) from fault
        parts = self._parts if len(self._parts) <= VECTORS else [b"".join(self._parts)]
        try:
            written = os.writev(self._file, parts)
            while written < self._held:
                written += os.write(self._file, b"".join(parts)[written:])
        except OSError as fault:
            raise full(fault) from fault
        self._written += self._held
        self._parts, self._held = [], 0
