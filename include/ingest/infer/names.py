"""Names: a column's from its header, a dataset's and its source's template from the file's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from include.ingest.dataset.definition import LONGEST_NAME, RESERVED_DATASETS
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
    name = ("dataset" if name in ("", *RESERVED_DATASETS) else name)[:41].strip("_")
    return name if re.match("[a-z]", name) else f"d_{name}"[:41]


def source_of(place: str, inbox: str | None = None) -> str:
    """The template of a dataset's source: the day of the interval stands where the name has its date.

    A path is taken to lie in the inbox. With `inbox`, its folder, it is known whether it does.
    """
    url = "://" in place and (inbox is not None or not place.startswith("file://"))
    text, head = (place, "") if url else _in_inbox(place, inbox)
    day = day_of(text)
    plain = re.sub(r"\{([{%#])", r"{{ '{\1' }}", text)
    return head + _DATE.sub(lambda found: _template(found) if day and _day(found) == day else found[0], plain)


def day_of(place: str) -> date | None:
    """The day that a file's name has, or else a folder of it."""
    days = [day for found in _DATE.finditer(place) if (day := _day(found))]
    return days[-1] if days else None


def _day(found: re.Match[str]) -> date | None:
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:  # the 31st of a short month
        return None


def _template(found: re.Match[str]) -> str:
    day = {"": "ds_nodash", "-": "ds"}.get(found[2])
    return f"{{{{ {day} }}}}" if day else f"{{{{ ds | replace('-', '{found[2]}') }}}}"


def _in_inbox(place: str, inbox: str | None) -> tuple[str, str]:
    """What of a path is to be a template, and what stands before it."""
    if inbox is None:
        return _file(place), "{{ inbox }}/"
    path, folder = Path(place).absolute(), Path(inbox).absolute()
    return (str(path.relative_to(folder)), "{{ inbox }}/") if path.is_relative_to(folder) else (str(path), "")


def _file(place: str) -> str:
    path = urlsplit(place).path if "://" in place else place
    return Path(path).name
