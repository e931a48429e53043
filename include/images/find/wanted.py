"""Which uploads a request means: by a part of the file name, by tags, by metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from include.images.find.labels import pairs, tag


@dataclass(frozen=True)
class Wanted:
    """What all of them have; nothing: all uploads."""

    name: str | None = None  # a part of the file name, in any case
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)  # a value as a text; "5" means the number too

    @property
    def condition(self) -> str:
        """SQL on `millrace.image i`, with the names of `values`: what is asked for only, so that an index is used."""
        parts = ["position(lower(%(name)s) IN lower(i.file_name)) > 0"] if self.name is not None else []
        parts += ["i.tags @> %(tags)s::text[]"] if self.tags else []
        parts += [f"i.metadata @> ANY (%(metadata_{number})s::jsonb[])" for number in range(len(self.metadata))]
        return " AND ".join(parts) or "TRUE"

    @property
    def values(self) -> dict[str, Any]:
        """What stands for the names."""
        asked = {
            f"metadata_{number}": [Jsonb({key: one}) for one in _meant(value)]
            for number, (key, value) in enumerate(self.metadata.items())
        }
        return {"name": self.name, "tags": list(self.tags), **asked}


def wanted(name: str | None, tags: Iterable[str], metadata: Iterable[str]) -> Wanted:
    """By query parameters. Raises Unfit."""
    return Wanted(name, tuple(dict.fromkeys(map(tag, tags))), pairs(metadata))


def _meant(text: str) -> list[Any]:
    """The values that a text may stand for: itself, and the number, true or false that it spells."""
    try:
        spelled = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return [text]
    return [text, spelled] if isinstance(spelled, bool | int | float) and abs(spelled) < 1e30 else [text]
