"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from include.memory.errors import BadSize

UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_BY_LETTERS = {name.lower(): factor for name, factor in UNITS.items()}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def parse(size: int | str) -> int:
    """Bytes: a whole number, or a text such as `20 MB`, `512 kB`, `1.5 GiB`. Raises BadSize."""
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = _TEXT.fullmatch(size) if isinstance(size, str) else None
    factor = _BY_LETTERS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise BadSize(f"{size!r} is not a size: write a number of bytes, or a number and one of {', '.join(UNITS)}")
    return round(float(match[1]) * factor)


def text(size: int) -> str:
    """Bytes for people, in decimal units."""
    for unit in ("GB", "MB", "kB"):
        if abs(size) >= UNITS[unit]:
            return (
                f"{size / UNITS[unit]:.3g} {unit}" if abs(size) < 999.5 * UNITS[unit] else f"{size / 1e9:,.0f} {unit}"
            )
    return f"{size} B"
