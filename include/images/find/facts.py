"""What the bytes of pictures show, in `millrace.image_facts`: entered with the renditions, told by the interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from psycopg import Cursor

from include.images.limits import keeps_position

if TYPE_CHECKING:
    from include.images.engine.render import Rendered

VERSION = 1  # goes up when the same bytes show something else, so that `everything` finds it anew
COLUMNS = (
    "f.taken_at, f.taken_offset, f.camera_make, f.camera_model, f.lens, f.latitude, f.longitude, f.profile,"
    " f.transparent, f.colours, f.perceptual_hash, f.method"
)
_PLAIN = ("camera_make", "camera_model", "lens", "latitude", "longitude", "profile", "transparent", "colours")


def method() -> str:
    """How facts are found here and now."""
    return f"{VERSION} with position" if keeps_position() else f"{VERSION}"


def enter(cursor: Cursor[Any], digest: str, rendered: Rendered) -> None:
    """Keep what was found of a source."""
    cursor.execute(
        "INSERT INTO millrace.image_facts (digest, taken_at, taken_offset, camera_make, camera_model, lens, latitude,"
        " longitude, profile, transparent, colours, perceptual_hash, method)"
        " VALUES (%(digest)s, %(taken_at)s, make_interval(mins => %(taken_offset_minutes)s), %(camera_make)s,"
        " %(camera_model)s, %(lens)s, %(latitude)s, %(longitude)s, %(profile)s, %(transparent)s, %(colours)s,"
        " %(perceptual_hash)s, %(method)s)"
        " ON CONFLICT (digest) DO UPDATE SET taken_at = excluded.taken_at, taken_offset = excluded.taken_offset,"
        " camera_make = excluded.camera_make, camera_model = excluded.camera_model, lens = excluded.lens,"
        " latitude = excluded.latitude, longitude = excluded.longitude, profile = excluded.profile,"
        " transparent = excluded.transparent, colours = excluded.colours,"
        " perceptual_hash = excluded.perceptual_hash, method = excluded.method",
        {
            "digest": digest, "method": method(), **asdict(rendered.capture), **asdict(rendered.look),
            "colours": list(rendered.look.colours),
        },
    )  # fmt: skip


def shown(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """As interface and callbacks tell them, of a row with COLUMNS; None while they are not known."""
    if row["method"] is None:
        return None
    taken, offset = row["taken_at"], row["taken_offset"]
    if taken is not None and offset is not None and abs(offset) < timedelta(days=1):
        taken = taken.replace(tzinfo=timezone(offset))
    return {
        "taken_at": taken and taken.isoformat(),
        **{name: row[name] for name in _PLAIN},
        "perceptual_hash": as_hex(row["perceptual_hash"]),
    }


def as_hex(number: int | None) -> str | None:
    """64 bits as 16 digits, as JavaScript's numbers do not hold them."""
    return None if number is None else f"{number % (1 << 64):016x}"
