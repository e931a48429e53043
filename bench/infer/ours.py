"""What `init` tells of files, in the terms of the benchmark."""

from __future__ import annotations

from pathlib import Path

from bench.infer.truth import Told
from include.ingest.errors import IngestError
from include.ingest.infer.command import look


def tell(path: Path) -> Told:
    """Of one file."""
    try:
        found = look(str(path))
    except IngestError as error:
        return Told(error=str(error))
    widths = found.profile.tally.widths
    rows = int(widths[:3].sum())
    key = tuple(found.names[number] for number in found.key.columns)
    delimiter = found.style.delimiter if found.layout.columns > 1 else ""
    types = tuple(column.type for column in found.columns)
    return Told(delimiter, found.style.quote, bool(found.layout.names), rows, found.layout.columns, types, key)
