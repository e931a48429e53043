"""A second maker of links, which shares no code with the service: by its description alone."""

from __future__ import annotations

import base64
import hmac
import struct
import time
from uuid import UUID

KEY = "a key of the tests, which is long enough"
OTHER = "another key of the tests, as long as that"


def token(
    image: str,
    key: str = KEY,
    *,
    mark: int = 0,
    lives: int = 600,
    version: int = 1,
    purpose: bytes = b"millrace image link",
) -> str:
    """A link's token that lives for so many seconds from now on."""
    named = struct.pack(">BQQ", version, mark, int(time.time()) + lives) + UUID(image).bytes
    signature = hmac.new(key.encode(), purpose + named, "sha256").digest()
    return base64.urlsafe_b64encode(named + signature[:18]).decode()
