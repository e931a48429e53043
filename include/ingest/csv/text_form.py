"""How the text of a run's files is written, as the ledger keeps it: what it takes to read one of its records alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from include.ingest.csv.kept_record import keep

if TYPE_CHECKING:
    from include.ingest.csv.grammar import Dialect
    from include.ingest.dataset.definition import Dataset


class TextForm(NamedTuple):
    """Encoding and dialect of a text, its header as one record, and the run's columns in the order of `positions`."""

    encoding: str
    delimiter: str
    quote: str | None
    escape: str | None  # None: a quote within quotes is doubled
    header: str | None  # None: the files have none, or it is no text
    columns: tuple[str, ...]

    @property
    def dialect(self) -> Dialect:
        """The dialect in the scanner's terms."""
        from include.ingest.csv.grammar import Dialect  # compiled, for who reads files; pages only show records

        quote, escape = (mark.encode() if mark else None for mark in (self.quote, self.escape))
        return Dialect(self.delimiter.encode(), quote, escape)


def form_for(dataset: Dataset, head: bytes = b"") -> TextForm:
    """How the dataset's files are written by now; `head` is their header as one record, empty where there is none."""
    csv = dataset.csv
    escape = None if csv.escape in (None, csv.quote) else csv.escape
    kept = keep(head, csv.encoding, escape.encode() if escape else None)
    header = kept.raw if head and kept.whole and kept.record is None else None
    return TextForm(csv.encoding, csv.delimiter, csv.quote, escape, header, tuple(dataset.columns))


def form_of(plan: dict[str, Any]) -> TextForm | None:
    """That of a run, from its plan as the ledger has it; None: the plan was made by a version that kept none."""
    if not plan.get("text_form"):
        return None
    form = TextForm(*plan["text_form"])
    return form._replace(columns=tuple(form.columns))
