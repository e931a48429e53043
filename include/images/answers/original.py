"""Headers of a file that is sent as it was uploaded."""

from __future__ import annotations

import re
from urllib.parse import quote

from include.images.limits import KINDS

# Not in a quoted text, or read in different ways by browsers there: quotes, escapes, what is not printable ASCII.
_ODD = re.compile(r'[^ -~]|["\\%]')
_PLAIN = "!#$&+-.^_`|~"  # what RFC 8187 leaves as it is beside letters and digits


def attachment(name: str) -> str:
    """Content-Disposition (RFC 6266): saved and never shown, under the name that it was uploaded with.

    `filename` is for those who don't know `filename*`, which has the name as it is.
    """
    plain = _ODD.sub("_", name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe=_PLAIN)}"
    return f'attachment; filename="{plain}"{exact}'


def media_of_source(kind: str | None) -> str:
    """The media type of a kind of source; of one that was not decoded, nothing is known but bytes."""
    return f"image/{kind.lower()}" if kind in KINDS else "application/octet-stream"
