"""When, where and with what a picture was taken, as its EXIF says: DateTimeOriginal, the camera, the position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from include.images.engine.facts.exif import Exif, Tags, Value, read

_MAKE, _MODEL = 0x010F, 0x0110
_TAKEN, _OFFSET, _FRACTION, _LENS = 0x9003, 0x9011, 0x9291, 0xA434
_NORTH, _LATITUDE, _EAST, _LONGITUDE = 1, 2, 3, 4  # of the position: the hemisphere, and degrees, minutes, seconds
_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_FRACTION_DIGITS = re.compile(r"\d{1,6}", re.ASCII)
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
MOST_MINUTES = 14 * 60  # no zone is further from UTC


@dataclass(frozen=True)
class Capture:
    """What is known of the moment; the position is in degrees north and east."""

    taken_at: str | None = None  # ISO 8601, by the camera's clock
    taken_offset_minutes: int | None = None  # how far that was ahead of UTC, if the camera says so
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def capture(data: bytes | None, *, position: bool) -> Capture:
    """By the EXIF of a picture, or a TIFF itself. Whatever makes no sense is left out, never at fault.

    The position is read only if asked for: it may be where somebody lives.
    """
    exif = read(
        data or b"", picture=(_MAKE, _MODEL), camera=(_TAKEN, _OFFSET, _FRACTION, _LENS),
        position=(_NORTH, _LATITUDE, _EAST, _LONGITUDE) if position else (),
    )  # fmt: skip
    taken = _taken(exif.camera)
    latitude, longitude = _position(exif)
    return Capture(
        taken.isoformat() if taken else None,
        _offset_minutes(exif.camera) if taken else None,
        _text(exif.picture, _MAKE), _text(exif.picture, _MODEL), _text(exif.camera, _LENS),
        latitude, longitude,
    )  # fmt: skip


def _text(tags: Tags, tag: int) -> str | None:
    return tags[tag].text() if tag in tags else None


def _taken(tags: Tags) -> datetime | None:
    found = _TIME.fullmatch(_text(tags, _TAKEN) or "")
    fraction = _FRACTION_DIGITS.match(_text(tags, _FRACTION) or "")
    try:
        shown = found and datetime(*map(int, found.groups()))  # type: ignore[arg-type]
    except ValueError:  # a camera whose clock was never set writes zeros
        return None
    return shown.replace(microsecond=int(fraction[0].ljust(6, "0"))) if shown and fraction else shown


def _offset_minutes(tags: Tags) -> int | None:
    said = _text(tags, _OFFSET) or ""
    found = _ZONE.fullmatch("+00:00" if said == "Z" else said)
    if found is None or int(found[3]) > 59:
        return None
    minutes = int(found[1] + "1") * (60 * int(found[2]) + int(found[3]))
    return minutes if abs(minutes) <= MOST_MINUTES else None


def _position(exif: Exif) -> tuple[float, float] | tuple[None, None]:
    """Both or none."""
    tags = exif.position
    north = _degrees(tags.get(_LATITUDE), _text(tags, _NORTH), "NS", 90)
    east = _degrees(tags.get(_LONGITUDE), _text(tags, _EAST), "EW", 180)
    return (None, None) if north is None or east is None else (north, east)


def _degrees(value: Value | None, side: str | None, sides: str, most: int) -> float | None:
    parts = value.fractions() if value is not None else None
    if not parts or len(parts) > 3 or side not in tuple(sides) or max(parts[1:], default=0) > 60:
        return None
    degrees = sum(part / 60**power for power, part in enumerate(parts))
    return round(-degrees if side == sides[1] else degrees, 7) if degrees <= most else None
