"""The bytes of rejected records, as far as the ledger keeps them."""

from __future__ import annotations

from typing import Any

from include.ingest.csv.kept_record import RAW_LIMIT, bytes_of


def kept_bytes(row: dict[str, Any], encoding: str) -> bytes | None:
    """The bytes of a row (raw, record, whole), without its line end; None: the ledger does not keep them all."""
    if row["record"] is not None:
        return bytes(row["record"])
    if row["whole"]:
        return bytes_of(row["raw"], encoding)
    raw: str = row["raw"]
    # Before migration 13, bytes that are no UTF-8 became escapes, and nothing says whether one is such or the file's.
    before = row["whole"] is None and len(raw) < RAW_LIMIT and "\\" not in raw
    return raw.encode() if before and (raw.isascii() or encoding == "utf-8") else None
