"""The fields of a form that are no files: `tags`, each a tag, and `metadata`, a JSON object. Others are passed over."""

from __future__ import annotations

from include.images.find.labels import Labels, Unfit, labels, parsed
from include.images.limits import Limits
from include.images.upload.checked_file import Refused

NAMES = ("tags", "metadata")
MOST_IGNORED = 20  # names of fields that an answer repeats


class Fields:
    """Collects the fields of one request, of at most so many bytes in all."""

    def __init__(self, limits: Limits, most_bytes: int) -> None:
        self._limits, self._most_bytes = limits, most_bytes
        self._values: dict[str, list[bytearray]] = {name: [] for name in NAMES}
        self._open: bytearray | None = None
        self._bytes = 0
        self.ignored: list[str] = []

    def begin(self, name: str, shown: str) -> None:
        """A field of that name begins; `shown` is the name as an answer can hold it."""
        self._open = None
        if name in self._values:
            self._open = bytearray()
            self._values[name].append(self._open)
        elif shown not in self.ignored and len(self.ignored) < MOST_IGNORED:
            self.ignored.append(shown)

    def write(self, part: bytes) -> None:
        """More of the field."""
        self._bytes += len(part)
        if self._bytes > self._most_bytes:  # they are held in memory
            raise Refused(413, "too-large", f"the form's fields are larger than {self._most_bytes / 1e6:g} MB")
        if self._open is not None:
            self._open += part

    def labels(self) -> Labels:
        """What they say. Raises Refused, with the field and what is wrong with it."""
        try:
            tags = [_text(value, "tags") for value in self._values["tags"]]
            metadata = [parsed(_text(value, "metadata"), "metadata") for value in self._values["metadata"]]
            if len(metadata) > 1:
                raise Unfit("metadata: must be one field")
            return labels(tags, metadata[0] if metadata else {}, self._limits)
        except Unfit as fault:
            raise Refused(422, fault.code, str(fault)) from fault


def _text(value: bytearray, name: str) -> str:
    try:
        return value.decode()
    except UnicodeError:
        raise Unfit(f"{name}: must be in UTF-8") from None
