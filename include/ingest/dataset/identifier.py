"""A column's name for whatever a file's header says: the same for `init` and for columns that later files bring."""

from __future__ import annotations

import re
import unicodedata

from include.ingest.dataset.definition import LONGEST_NAME, is_reserved

# Letters that fall apart into a letter and an accent need no line: é is e. German umlauts are written out, as é is not.
_LETTERS = str.maketrans(
    {
        **{"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ẞ": "SS"},
        **{"æ": "ae", "ø": "oe", "œ": "oe", "þ": "th", "Æ": "Ae", "Ø": "Oe", "Œ": "Oe", "Þ": "Th"},
        **{"ł": "l", "đ": "d", "ð": "d", "Ł": "L", "Đ": "D", "Ð": "D", "\N{LATIN SMALL LETTER DOTLESS I}": "i"},
        **{"€": "eur", "%": "_percent", "№": "no", "#": "_no", "&": "_and_", "µ": "u"},
    }
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z]+\b)")
# PostgreSQL's reserved key words: as names they would have to be quoted in each statement.
_KEY_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc
distinct do else end except false fetch for foreign from grant group having in initially intersect into lateral
leading limit localtime localtimestamp not null offset on only or order placing primary references returning select
session_user some symmetric system_user table then to trailing true union unique user using variadic when where
window with authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join
left like natural notnull outer overlaps right similar tablesample verbose
"""


def identifier_of(name: str) -> str:
    """The name of the column that a header calls so; '' where nothing is left of it.

    It depends on nothing but the header's word, so that a header's column is the same column in every file.
    """
    found = plain_name(name)
    if found.startswith("millrace_"):
        return f"c_{found}"[:LONGEST_NAME]
    return f"{found}_"[:LONGEST_NAME] if is_reserved(found) or found in _KEY_WORDS.split() else found


def plain_name(text: str) -> str:
    """A text in small letters without accents, its words joined by _; '' where nothing is left."""
    # Composed first, as macOS writes the names of its files the other way: ä is one letter however it is written.
    written = _CAMEL.sub("_", unicodedata.normalize("NFC", text.strip())).translate(_LETTERS)
    letters = "".join(one for one in unicodedata.normalize("NFKD", written) if not unicodedata.combining(one))
    found = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")
    return (f"c_{found}" if found[:1].isdigit() else found)[:LONGEST_NAME].rstrip("_")
