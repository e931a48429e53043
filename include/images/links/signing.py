"""What a link is: a token that names a picture and the moment when it ends, signed by a key that only servers know.

    token     = base64url(version, mark, ends, image id, signature): 68 characters, no padding
    signature = the first 18 bytes of HMAC-SHA256(key, "millrace image link" + all that stands before it)

Numbers are big-endian: version is one byte, mark and ends eight. `ends` is in seconds since 1970, by the clock of the
API server; `mark` is the picture's own (`millrace.image.links_mark`). Nothing is stored for a link.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from include.images.errors import SettingError

CONNECTION = "image_links"
FEWEST_CHARACTERS = 32
VERSION = 1
PURPOSE = b"millrace image link"  # the same key may sign something else elsewhere, which is no link then
SIGNATURE_BYTES = 18
# 51 bytes come out even, so that a link has one spelling only: the last character holds no spare bits.
TOKEN = re.compile(r"[A-Za-z0-9_-]{68}")
_NAMED = struct.Struct(">BQQ16s")


class Link(NamedTuple):
    """What a token says: which picture, its mark when the link was made, and when it ends, in seconds since 1970."""

    image_id: UUID
    mark: int
    ends: int


@dataclass(frozen=True)
class Keys:
    """The key that signs, and the one before it, whose links still hold. Raises SettingError for one that is short."""

    current: str = field(repr=False)
    previous: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for what, key in (("password", self.current), ("`previous`", self.previous or self.current)):
            if len(key) < FEWEST_CHARACTERS:
                raise SettingError(
                    f"the {what} of the Connection {CONNECTION} has {len(key)} characters, where {FEWEST_CHARACTERS}"
                    ' are the fewest: python3 -c "import secrets; print(secrets.token_urlsafe(32))" makes one'
                )

    def sign(self, link: Link) -> str:
        """The link's token."""
        named = _NAMED.pack(VERSION, link.mark, link.ends, link.image_id.bytes)
        return base64.urlsafe_b64encode(named + _signature(self.current, named)).decode()

    def read(self, token: str) -> Link | None:
        """What a token says, whether that is over or not; None for one that neither key has signed."""
        if not TOKEN.fullmatch(token):
            return None
        whole = base64.urlsafe_b64decode(token)
        named, signature = whole[: _NAMED.size], whole[_NAMED.size :]
        # Both are tried, always: how long it takes says nothing of how much is right.
        keys = filter(None, (self.current, self.previous))
        if not any([hmac.compare_digest(signature, _signature(key, named)) for key in keys]):
            return None
        version, mark, ends, image_id = _NAMED.unpack(named)
        return Link(UUID(bytes=image_id), mark, ends) if version == VERSION else None


def _signature(key: str, named: bytes) -> bytes:
    return hmac.digest(key.encode(), PURPOSE + named, hashlib.sha256)[:SIGNATURE_BYTES]
