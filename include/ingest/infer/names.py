"""Names: a column's from its header, a dataset's and its source's template from the file's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from include.ingest.dataset.definition import RESERVED, SYSTEM_COLUMNS

MOST_LENGTH = 63
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")  # of a dataset
_LETTERS = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
        "ß": "ss",
        "æ": "ae",
        "Æ": "Ae",
        "ø": "oe",
        "Ø": "Oe",
        "å": "a",
        "Å": "A",
        "œ": "oe",
        "Œ": "Oe",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "þ": "th",
        "ð": "d",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "€": "eur",
        "%": "_percent",
        "№": "no",
        "#": "_no",
        "&": "_and_",
        "µ": "u",
    }
)
# PostgreSQL's reserved key words: as names they would have to be quoted in each statement.
KEY_WORDS = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "current_catalog",
        "current_date",
        "current_role",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "localtime",
        "localtimestamp",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "session_user",
        "some",
        "symmetric",
        "system_user",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
        "authorization",
        "binary",
        "collation",
        "concurrently",
        "cross",
        "current_schema",
        "freeze",
        "full",
        "ilike",
        "inner",
        "is",
        "isnull",
        "join",
        "left",
        "like",
        "natural",
        "notnull",
        "outer",
        "overlaps",
        "right",
        "similar",
        "tablesample",
        "verbose",
    ]
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z]+\b)")
_DATE = re.compile(r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


def column_names(header: Sequence[str]) -> list[str]:
    """A valid, unreserved and different name for each column, in lower case."""
    found: list[str] = []
    for number, text in enumerate(header, 1):
        name = _identifier(text) or f"column_{number}"
        if name in (*RESERVED, *SYSTEM_COLUMNS, *KEY_WORDS) or name.startswith("millrace_"):
            name = f"{name}_"[:MOST_LENGTH] if not name.startswith("millrace_") else f"c_{name}"[:MOST_LENGTH]
        found.append(_different(name, found))
    return found


def _identifier(text: str) -> str:
    """Letters, digits and _ of a text; empty where none are left."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub("_", text.strip()).translate(_LETTERS))
    name = re.sub(r"[^a-z0-9]+", "_", plain.encode("ascii", "ignore").decode().lower()).strip("_")
    if name[:1].isdigit():
        name = f"c_{name}"
    return name[:MOST_LENGTH].rstrip("_")


def _different(name: str, taken: Sequence[str]) -> str:
    number, result = 2, name
    while result in taken:
        ending = f"_{number}"
        result, number = name[: MOST_LENGTH - len(ending)] + ending, number + 1
    return result


def dataset_name(place: str) -> str:
    """A name for the dataset of a file: its own, without dates and endings."""
    stem = re.sub(r"(\.(csv|tsv|tab|txt|dat|psv|gz|zst|zstd|bgz))+$", "", _file(place), flags=re.IGNORECASE)
    name = _identifier(_DATE.sub("", stem))
    name = re.sub(r"^(c_)?[0-9_]+", "", name) if re.match(r"(c_)?[0-9]", name) else name
    name = (name or "dataset")[:41].strip("_")
    return name if re.match("[a-z]", name) else f"d_{name}"[:41]


def source_of(place: str) -> str:
    """The template of a dataset's source: the day of the interval stands where the name has a date."""
    url = "://" in place and not place.startswith("file://")
    text = place if url else _file(place)
    text = re.sub(r"\{([{%#])", r"{{ '{\1' }}", text)
    found = _DATE.search(text)
    if found:
        day = {"": "ds_nodash", "-": "ds"}.get(found[2])
        form = f"{{{{ {day} }}}}" if day else f"{{{{ ds | replace('-', '{found[2]}') }}}}"
        text = text[: found.start()] + form + text[found.end() :]
    return text if url else "{{ inbox }}/" + text


def _file(place: str) -> str:
    path = urlsplit(place).path if "://" in place else place
    return Path(path).name
