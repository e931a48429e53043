"""The bytes of a packed file one after the other, and where in it a fault is."""

from __future__ import annotations

from include.ingest.errors import SourceDamaged
from include.ingest.source import Opened

MORE_BYTES = 256 << 10  # asked for at a time: what does not fit the output at once is copied
PLAIN_BYTES = 4 << 20  # unpacked at a time, whatever the file holds


class Feed:
    """A packed file, read from its start. `packed` bytes have been read of it, `plain` ones were made of them."""

    def __init__(self, name: str, opened: Opened) -> None:
        self.name, self._opened = name, opened
        self.packed, self.plain = 0, 0

    def more(self, length: int = MORE_BYTES) -> bytes:
        """The next bytes; none at the end."""
        length = min(length, self._opened.size - self.packed)
        data = self._opened.read(self.packed, length) if length else b""
        self.packed += len(data)
        return data

    def fault(self, what: str) -> SourceDamaged:
        """That the file is damaged about here."""
        return SourceDamaged(
            f"{self.name} is damaged: {what} near byte {self.packed:,} of {self._opened.size:,}, which is byte"
            f" {self.plain:,} unpacked. Deliver it once more (under another name until it is whole) and clear the"
            " run's `plan` task"
        )

    def cut_short(self) -> SourceDamaged:
        """That the file ends before its text does."""
        return self.fault("it ends early")
