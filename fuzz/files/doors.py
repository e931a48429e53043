"""What Millrace does with a file: by its own steps without the ledger, or by whole runs."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg

from fuzz.files.case import FIELDS, TEXT, Case, Form, Outcome, Row
from include.ingest.cast.rows import NO_LOSERS, Reader, read_rows
from include.ingest.csv.records import Block, joined, read_blocks
from include.ingest.csv.scan import RecordNotEnded
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import HeaderMismatch, IngestError, SourceDamaged
from include.ingest.express import Express, can_express
from include.ingest.files import cut_file, find_files
from include.ingest.plan import Order, dialect_of
from include.ingest.run import run
from include.ingest.source.storage import LOCAL

DAY = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = "~~first~~"  # in the first column of a row that stands in the target before the file comes
WHY: dict[type[IngestError], str] = {HeaderMismatch: "header", RecordNotEnded: "unended", SourceDamaged: "text"}


def dataset_of(case: Case, *, key: str | None = None) -> Dataset:
    """The dataset that reads the case's file, all columns text."""
    form = case.form
    dataset = Dataset.model_validate(
        {
            "name": "judged",
            "source": "x",
            "target": "public.judged",
            "mode": "upsert" if key else "append",
            "key": [key] if key else [],
            "columns": {
                name: {"type": "text", "nullable": name != key, "source": source}
                for name, source in zip(form.columns, form.sources, strict=True)
            },
            "csv": {
                "delimiter": form.delimiter, "quote": form.quote, "escape": form.escape, "header": form.header,
                "encoding": form.encoding, "nulls": [] if form.null is None else [form.null], "comment": form.comment,
                "header_lines": form.header_lines, "skip_lines": form.skip, "footer_lines": form.footer,
                "short_rows": "fill" if form.fill else "reject",
            },
            "reject_limit": {"rows": None, "ratio": None},
        }
    )  # fmt: skip
    return dataset.model_copy(update={"chunk_bytes": case.sizes.chunk, "block_bytes": case.sizes.block})


def refusal_of(error: IngestError) -> Outcome:
    """How a file was refused as a whole. Raises the error again where it should not have been."""
    why = WHY.get(type(error))
    if why is None:
        raise error
    line = str(error).partition(".csv:")[2].partition(":")[0]
    return Outcome(refused=why, line=int(line) if line.isdigit() else None)


def by_steps(case: Case, file: Path) -> tuple[Outcome, Outcome]:
    """The steps of a load without ledger and target: plain records by the short way as far as it goes, and all by the
    certain way.
    """
    dataset = dataset_of(case)
    dialect = dialect_of(dataset)
    try:
        found = find_files(LOCAL, str(file), uuid4(), dataset, dialect)
    except IngestError as error:
        return refusal_of(error), refusal_of(error)
    source = LOCAL.planned(str(file), found.files, uuid4())
    again = cut_file(
        source, dataset, dialect, segment_bytes=case.sizes.segment, piece_bytes=case.sizes.segment, threads=1
    )
    assert again.chunks == found.chunks, "chunks depend on segments"
    reader = Reader(dataset, dialect, *found.header[:2])
    short, certain = Outcome(), Outcome()
    for chunk in found.chunks:
        express = Express(reader) if can_express(reader, keys=False) else None
        blocks = list(read_blocks(source, dialect, chunk, block_bytes=dataset.block_bytes))
        odd = [_plain(express, block, reader, short) if express else block for block in blocks]
        odd = [block for block in odd if len(block.starts)]
        if odd:
            _certain(joined(odd), reader, short)
        _certain(joined(blocks), reader, certain)
    return short, certain


def _plain(express: Express, block: Block, reader: Reader, outcome: Outcome) -> Block:
    """Note the plain records of a block; gives the others."""
    parts: list[bytes] = []
    encoded = express.encode(block, NO_LOSERS, lambda part: parts.append(bytes(part)))
    rows = _decoded(b"".join(parts))
    places = [reader.in_file.index(name) for name in reader.dataset.columns]
    for line, row in zip(block.lines[encoded.plain].tolist(), rows, strict=True):
        _note(outcome, line, tuple(row[place] for place in places))
    return encoded.odd


def _decoded(data: bytes) -> list[Row]:
    """The rows of binary COPY, all columns text."""
    rows, at = [], 0
    while at < len(data):
        (fields,) = struct.unpack_from(">h", data, at)
        at += 2
        row: list[str | None] = []
        for _ in range(fields):
            (size,) = struct.unpack_from(">i", data, at)
            at += 4
            row.append(None if size < 0 else data[at : at + size].decode())
            at += max(0, size)
        rows.append(tuple(row))
    return rows


def _certain(block: Block, reader: Reader, outcome: Outcome) -> None:
    rows = read_rows(block, reader)
    for line, row in zip(rows.lines.tolist(), rows.table.to_pylist(), strict=True):
        _note(outcome, line, tuple(row.values()))
    for reject in rows.rejects:
        _note(outcome, reject.line_number, FIELDS if reject.rule == "fields" else TEXT)


def _note(outcome: Outcome, line: int, what: Row | str) -> None:
    assert line not in outcome.records, f"two records on line {line}"
    outcome.records[line] = what


def by_runs(connection: psycopg.Connection, case: Case, file: Path, wanted: Outcome) -> str | None:
    """Whole runs: into a new table, into one with rows, and with a key. Says what is not as wanted."""
    for form in ("promote", "merge", "key"):
        connection.execute("DROP TABLE IF EXISTS judged")
        key = case.form.columns[0] if form == "key" else None
        dataset = dataset_of(case, key=key)
        if form != "promote":
            connection.execute(_table_with_a_row(case.form, key))
        try:
            account = run(connection, dataset, Order(uuid4(), file, DAY))
        except IngestError as error:
            got = refusal_of(error)
            if not wanted.refused or not wanted.met_by(got):
                return f"{form}: {error}"
            continue
        if wanted.refused:
            return f"{form}: not refused"
        good, bad = _expected(wanted, keyed=key is not None)
        table = connection.execute(_all_rows(case.form)).fetchall()
        got_rows = Counter(row for row in table if row[0] != FIRST)
        if got_rows != good:
            return f"{form}: more rows {dict(got_rows - good)}, fewer {dict(good - got_rows)}"
        lines = connection.execute(
            "SELECT line_number FROM millrace.rejected_row WHERE run_id = %s ORDER BY 1", [account.run_id]
        ).fetchall()
        if [line for (line,) in lines] != bad:
            return f"{form}: rejected lines {lines} instead of {bad}"
        if account.read != len(wanted.records):
            return f"{form}: {account.read} records read instead of {len(wanted.records)}"
    return None


def _expected(wanted: Outcome, *, keyed: bool) -> tuple[Counter[Row], list[int]]:
    """The rows of the table, and the lines of the rejected ones. With a key, a row needs it, and the last wins."""
    rows = {line: row for line, row in sorted(wanted.records.items()) if not isinstance(row, str)}
    if keyed:
        rows = {line: row for line, row in rows.items() if row[0] is not None}
    bad = sorted(set(wanted.records) - set(rows))
    kept: Sequence[Row] = list({row[0]: row for row in rows.values()}.values()) if keyed else list(rows.values())
    return Counter(kept), bad


def _table_with_a_row(form: Form, key: str | None) -> bytes:
    columns = ", ".join(f"{name} text" for name in form.columns)
    unique = f", PRIMARY KEY ({key})" if key else ""
    return f"CREATE TABLE judged ({columns}{unique}); INSERT INTO judged VALUES ('{FIRST}')".encode()


def _all_rows(form: Form) -> bytes:
    return f"SELECT {', '.join(form.columns)} FROM judged".encode()
