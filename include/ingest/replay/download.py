"""Rejected rows as a CSV file that can be corrected in an editor: first what is wrong, then the record as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from include.ingest.csv.text_form import TextForm, form_for, form_of
from include.ingest.replay.fields import joined
from include.ingest.replay.kept import kept_bytes

if TYPE_CHECKING:
    from include.ingest.dataset.definition import Dataset

FETCH_ROWS = 2_000  # a part of the download
EXTRA = (
    "rejected_id", "rejected_run", "rejected_state", "rejected_file", "rejected_line", "rejected_column",
    "rejected_value", "rejected_rule", "rejected_reason",
)  # fmt: skip


def as_csv(
    connection: Connection[Any],
    dataset: Dataset,
    *,
    run_id: UUID | None = None,
    rule: str | None = None,
    state: str | None = None,
) -> Iterator[bytes]:
    """Rejected rows of the dataset as parts of a CSV file in its dialect and encoding, a bounded part at a time.

    Each record stands behind the columns of EXTRA byte for byte, a corrected one as it is now. The header is that of
    the newest run. Of a record that is not kept whole there is the beginning. Only the first part may raise.
    """
    form = form_for(dataset)
    conditions: LiteralString = ""
    for condition, value in (
        (" AND j.run_id = %(run_id)s", run_id), (" AND j.rule = %(rule)s", rule), (" AND j.state = %(state)s", state),
    ):  # fmt: skip
        conditions += condition if value is not None else ""
    values = {"dataset": dataset.name, "run_id": run_id, "rule": rule, "state": state}
    with connection.transaction():
        forms = _forms(connection, values)
        yield _line(EXTRA, form, _header(forms, form))
        with connection.cursor("millrace_download", row_factory=dict_row) as found:
            found.execute(
                "SELECT j.* FROM millrace.rejected_row j JOIN millrace.ingest_run r USING (run_id)"
                " WHERE r.dataset = %(dataset)s" + conditions + " ORDER BY r.started_at, j.run_id, j.id",
                values,
            )
            while rows := found.fetchmany(FETCH_ROWS):
                yield b"".join(_row(row, forms.get(row["run_id"]) or form, form) for row in rows)


def _forms(connection: Connection[Any], values: dict[str, Any]) -> dict[UUID, TextForm | None]:
    """How the text of the runs that are meant is written, the newest last."""
    found = connection.execute(
        "SELECT run_id, plan->'text_form' FROM millrace.ingest_run WHERE dataset = %(dataset)s"
        " AND (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s) AND plan IS NOT NULL ORDER BY started_at",
        values,
    )
    return {run: form_of({"text_form": kept}) for run, kept in found}


def _header(forms: dict[UUID, TextForm | None], form: TextForm) -> bytes:
    """The header of the records: that of the file, else the dataset's columns."""
    kept = [one.header for one in forms.values() if one is not None and one.header]
    return (kept[-1] if kept else joined(form.columns, form)).encode(form.encoding, "backslashreplace")


def _row(row: dict[str, Any], then: TextForm, form: TextForm) -> bytes:
    cells = (
        row["id"], row["run_id"], row["state"], row["file"], row["line_number"], row["column_name"], row["value"],
        row["rule"], row["reason"],
    )  # fmt: skip
    record = row["corrected_record"] or kept_bytes(row, then.encoding)
    if record is None:
        record = row["raw"].encode(form.encoding, "backslashreplace")
    return _line(["" if cell is None else str(cell) for cell in cells], form, bytes(record))


def _line(cells: tuple[str, ...] | list[str], form: TextForm, record: bytes) -> bytes:
    if not (form.quote or form.escape):  # there is no way to write these
        marks = str.maketrans(dict.fromkeys((form.delimiter, "\r", "\n"), " "))
        cells = [cell.translate(marks) for cell in cells]
    text = joined(cells, form) + form.delimiter
    return text.encode(form.encoding, "backslashreplace") + record + b"\n"
