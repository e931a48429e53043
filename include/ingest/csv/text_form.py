"""How the text of a run's files is written, as the ledger keeps it: what it takes to read one of its records alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from include.ingest.csv.grammar import Dialect


class TextForm(NamedTuple):
    """Encoding and dialect of a text, its header record, and the dataset's columns in the order of `positions`."""

    encoding: str
    delimiter: str
    quote: str | None
    escape: str | None  # None: a quote within quotes is doubled
    header: str | None  # None: the files have none, or it is no text
    columns: tuple[str, ...]

    @property
    def dialect(self) -> Dialect:
        """The dialect in the scanner's terms."""
        quote, escape = (mark.encode() if mark else None for mark in (self.quote, self.escape))
        return Dialect(self.delimiter.encode(), quote, escape)


def form_of(plan: dict[str, Any]) -> TextForm | None:
    """That of a run, from its plan as the ledger has it; None: the plan was made by a version that kept none."""
    if not plan.get("text_form"):
        return None
    form = TextForm(*plan["text_form"])
    return form._replace(columns=tuple(form.columns))
