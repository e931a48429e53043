"""Every limit of the image service, in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass

from include.images.errors import SettingError

MEGABYTE = 1_000_000
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC", "TIFF", "BMP", "JXL")  # what sources may be
VARIABLE = "MILLRACE_IMAGE_KINDS"
POSITION = "MILLRACE_IMAGE_POSITION"


def kinds() -> tuple[str, ...]:
    """The kinds that are taken in: $MILLRACE_IMAGE_KINDS, with commas in between, or all. No other decoder is ever run.

    Raises SettingError for a name that is not known.
    """
    named = [name.strip().lower() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    known = {kind.lower(): kind for kind in KINDS}
    if unknown := [name for name in named if name not in known]:
        raise SettingError(f"{VARIABLE}: {unknown[0]!r} is none of {', '.join(KINDS)}")
    return tuple(known[name] for name in dict.fromkeys(named)) or KINDS


def keeps_position() -> bool:
    """Whether it is kept where a picture was taken: $MILLRACE_IMAGE_POSITION, `on` or `off`, which is the default.

    Raises SettingError for anything else, as it is meant as one of them and taken for the other.
    """
    chosen = os.environ.get(POSITION, "").strip().lower() or "off"
    if chosen not in ("on", "off"):
        raise SettingError(f"{POSITION}: {chosen!r} is neither on nor off")
    return chosen == "on"


@dataclass(frozen=True)
class Limits:
    """What is taken in, and what one picture may cost."""

    file_bytes: int = 50 * MEGABYTE
    request_files: int = 100
    request_bytes: int = 500 * MEGABYTE
    name_characters: int = 200
    waiting_files: int = 50_000  # over this, uploads are told to come back later
    choices: int = 8  # sets of recipes and focal points that one picture is made for
    owner_bytes: int = 20_000 * MEGABYTE  # what one user may keep
    link_seconds: int = 30 * 86_400  # how long a link without a login may be good for

    tags: int = 50  # of one picture
    tag_characters: int = 100
    metadata_keys: int = 50
    metadata_key_characters: int = 100
    metadata_bytes: int = 8_000  # all of it, as JSON in UTF-8

    pixels: int = 120_000_000  # width x height of one frame
    side: int = 20_000
    decode_bytes: int = 1_400 * MEGABYTE  # what decoding may need by the header, at so many bytes a pixel of each kind
    scans: int = 64  # each goes over the whole picture once more, and may be a few bytes
    frames: int = 300
    animation_pixels: int = 100_000_000  # of all frames; beyond it only the first frame is used

    memory_bytes: int = 1_500 * MEGABYTE  # of the child that decodes, beyond what it was forked with
    cpu_seconds: int = 30  # a decoder can loop within all limits that a header shows
    # One that waits uses no CPU. Wide, as a machine may be busy, but less than a claim holds.
    wall_seconds: float = 150.0
    rendition_bytes: int = 100 * MEGABYTE
    attempts: int = 3  # of a picture whose child was killed, as that may have been no fault of its own


LIMITS = Limits()
