"""Names: a column's from its header, a dataset's and its source's template from the file's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from include.ingest.dataset.definition import LONGEST_NAME
from include.ingest.dataset.identifier import identifier_of, plain_name

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")  # of a dataset
_DATE = re.compile(r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


def column_names(header: Sequence[str]) -> list[str]:
    """A valid, unreserved and different name for each column, in lower case."""
    found: list[str] = []
    for number, text in enumerate(header, 1):
        found.append(_different(identifier_of(text) or f"column_{number}", found))
    return found


def _different(name: str, taken: Sequence[str]) -> str:
    number, result = 2, name
    while result in taken:
        ending = f"_{number}"
        result, number = name[: LONGEST_NAME - len(ending)] + ending, number + 1
    return result


def dataset_name(place: str) -> str:
    """A name for the dataset of a file: its own, without dates and endings."""
    stem = re.sub(r"(\.(csv|tsv|tab|txt|dat|psv|gz|zst|zstd|bgz))+$", "", _file(place), flags=re.IGNORECASE)
    name = plain_name(_DATE.sub("", stem))
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
