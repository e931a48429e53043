"""A column's name for whatever a file's header says."""

from __future__ import annotations

import re
import unicodedata

from include.ingest.dataset.definition import LONGEST_NAME, is_reserved

PREFIX = "file_"  # of a name that Millrace or PostgreSQL keeps for itself


def identifier_of(name: str) -> str:
    """The name in lower case, without accents, and with _ for whatever is no letter or digit; '' where nothing is left.

    It depends on nothing but the name, so that a header's column is the same column in every file.
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    found = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")
    if found[:1].isdigit():
        found = f"_{found}"
    found = f"{PREFIX}{found}" if is_reserved(found) else found
    return found[:LONGEST_NAME]
