"""Judges a batch of files: what is wanted by COPY and by Python's `csv`, and what Millrace does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from random import Random

import psycopg
from psycopg import sql

from fuzz.files import doors
from fuzz.files.case import ANY, BOM, FIELDS, TEXT, Case, Form, Outcome
from fuzz.files.copying import Copy
from fuzz.files.cutting import NEWLINE, Record, cut
from fuzz.files.making import make_case
from fuzz.files.python import judged, rows_of
from fuzz.judging import Checked, Difference
from stack.databases import migrate_warehouse

BATCH = 100  # files of one seed
WHOLE = 50  # one in so many goes through whole runs
MADE_SMALL = 2  # differences of a batch: one fault often makes many
TRIES = 300  # to make a case smaller
SEARCH_BYTES, SEARCH_LINES = 64 << 10, 200  # within which a header is looked for
DATABASE = "fuzz_files"
_CREATE = "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0"

# Where COPY is not followed; `docs/fuzz.md` has the reasons.
EXPLAINED = {
    "blank line": "a line with no bytes is no record",
    "byte order mark": "it is no part of the text",
    "quote inside": "a quote inside an unquoted field is text",
    "escape": "an escape makes any byte literal, outside quotes too",
    "newlines": "newlines may be mixed in a file",
    "end mark": "a line that is \\. is text like any other",
    "ignored column": "what the dataset does not name is not looked at",
    "UTF-16": "a file of UTF-16 or UTF-32 is refused as a whole",
}


def open_judge(dsn: str, scratch: Path) -> FilesJudge:
    """The judge, with a database of its own on that server."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(DATABASE)))
        connection.execute(sql.SQL(_CREATE).format(sql.Identifier(DATABASE)))
    own = psycopg.conninfo.make_conninfo(dsn, dbname=DATABASE)
    migrate_warehouse(own)
    return FilesJudge(own, scratch)


class FilesJudge:
    """Judges files. `cases` can be judged one by one too."""

    def __init__(self, dsn: str, scratch: Path) -> None:
        self._copy = Copy(dsn)
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._file = scratch / "case.csv"

    def close(self) -> None:
        """Let go of connections and files."""
        self._copy.close()
        self._connection.close()
        self._file.unlink(missing_ok=True)

    def check(self, seed: int) -> Checked:
        """Make the batch of this seed, always the same one, and judge it."""
        random, checked = Random(f"files {seed}"), Checked()
        for number in range(BATCH):
            case = make_case(random, whole=number % WHOLE == seed % WHOLE)
            if said := self.judge(case, checked.explained):
                if len(checked.differences) < MADE_SMALL:
                    case = shrunk(case, lambda one: self.judge(one, Counter()) is not None)
                    said = self.judge(case, Counter()) or said
                checked.differences.append(Difference(seed, f"{case}\n{said}"))
            checked.cases += 1
        self._copy.forget()
        if self._connection.execute("SELECT count(*) > 200 FROM millrace.ingest_run").fetchone() == (True,):
            self._connection.execute("TRUNCATE millrace.ingest_run CASCADE")
        return checked

    def judge(self, case: Case, explained: Counter[str]) -> str | None:
        """What differs; None: nothing that is not explained."""
        self._file.write_bytes(case.data)
        try:
            wanted = self.wanted(case, explained)
        except psycopg.errors.FeatureNotSupported as error:  # COPY can't be told this dialect
            raise AssertionError(f"{case}: {error}") from error
        if case.whole:
            return doors.by_runs(self._connection, case, self._file, wanted)
        try:
            ways = doors.by_steps(case, self._file)
        except Exception as error:  # a file must not bring Millrace down: what it raised is the difference
            return f"{type(error).__name__}: {error}"
        for way, got in zip(("short", "certain"), ways, strict=True):
            if not wanted.met_by(got):
                return f"{way} way:\n  wanted {wanted}\n  got    {got}"
        return None

    def wanted(self, case: Case, explained: Counter[str]) -> Outcome:
        """What is to become of the file."""
        form, body = case.form, case.data
        if _is_wide(body[:512]):
            explained["UTF-16"] += 1
            return Outcome(refused="text")
        if body.startswith(BOM):
            explained["byte order mark"] += 1
            body = body[len(BOM) :]
        above = _above(body, form)
        if isinstance(above, str):
            return Outcome(refused=above)
        lines, body = len(NEWLINE.findall(body[:above])), body[above:]
        found = cut(body, form, end_mark=self._copy.end_mark)
        rest: list[tuple[int, list[str]]] = []
        rest_line, ends = 1, True
        if found.parts:
            why, start, rest_line = found.parts
            explained[why] += 1
            rest, ends = rows_of(body[start:], form)
        if found.unended or not ends:
            return Outcome(refused="unended", line=found.unended and found.unended + lines)
        records = [record for record in found.records if record.text]
        if len(records) < len(found.records):
            explained["blank line"] += 1
        records = [record._replace(line=record.line + lines) for record in records]
        late = [(line + rest_line - 1 + lines, cells) for line, cells in rest]
        fields, positions = len(form.columns), list(range(len(form.columns)))
        wanted, header = form.header_lines if form.header else 0, [rows_of(one.raw, form)[0][0][1] for one in records]
        header = [*header, *(cells for _, cells in late)][:wanted]
        records, late = records[wanted:], late[max(0, wanted - len(records)) :]
        names = _joined(header)
        unfit = bool(form.header) and (len(header) < wanted or any(names.count(name) != 1 for name in form.sources))
        if len(records) + len(late) < form.footer:
            return Outcome(refused=ANY if unfit else "text")
        for _ in range(form.footer):
            (late or records).pop()
        if unfit:
            return Outcome(refused="header")
        if form.header:
            fields, positions = len(names), [names.index(name) for name in form.sources]
        outcome = Outcome(self._copied(records, case, fields, positions, explained))
        outcome.records |= {line: judged(cells, form, fields, positions) for line, cells in late}
        return outcome

    def _copied(
        self, records: list[Record], case: Case, fields: int, positions: list[int], explained: Counter[str]
    ) -> dict[int, tuple[str | None, ...] | str]:
        rows, line = self._copy.records([record.raw for record in records], case.form, fields)
        found: dict[int, tuple[str | None, ...] | str] = {}
        for record, row in zip(records, rows, strict=True):
            if row == FIELDS and case.form.fill:
                found[record.line] = self._short(record, case.form, fields, positions)
                continue
            found[record.line] = row if isinstance(row, str) else tuple(row[place] for place in positions)
            if row != TEXT:
                continue
            cells = rows_of(record.raw, case.form)[0][0][1]
            if len(cells) < fields and case.form.fill:
                found[record.line] = self._short(record, case.form, fields, positions)
            elif len(cells) != fields:  # bad in two ways, of which COPY tells the other one
                found[record.line] = FIELDS
            elif fields > len(positions) and judged(cells, case.form, fields, positions) != TEXT:
                explained["ignored column"] += 1
                found[record.line] = judged(cells, case.form, fields, positions)
        first = next((number for number, row in enumerate(rows) if isinstance(row, str)), None)
        # COPY counts one kind of line end within quotes, and complains of bytes that are no text before it counts.
        if first is not None and TEXT not in rows and not any(NEWLINE.search(record.text) for record in records):
            assert line == first + 1, f"COPY names line {line} of the records, and not {first + 1}"
        return found

    def _short(self, record: Record, form: Form, fields: int, positions: list[int]) -> tuple[str | None, ...] | str:
        """What COPY makes of a record in a table of as many columns as it has fields."""
        cells = rows_of(record.raw, form)[0][0][1]
        if len(cells) >= fields:
            return FIELDS
        row = self._copy.records([record.raw], form, len(cells))[0][0]
        if isinstance(row, str):  # a column that the dataset does not name may be at fault
            return judged(cells, form, fields, positions)
        return tuple(row[place] if place < len(row) else None for place in positions)


def _above(body: bytes, form: Form) -> int | str:
    """How many bytes stand above the header, or the first record; or why the file is refused."""
    ends = [0, *(end.end() for end in NEWLINE.finditer(body))]
    if ends[-1] < len(body):
        ends.append(len(body))
    if len(ends) <= form.skip:
        return "text"
    above = ends[form.skip]
    if form.header != "search":
        return above
    head = body[above : above + SEARCH_BYTES]
    starts = [0, *(end.end() for end in NEWLINE.finditer(head))]
    for start in starts[:SEARCH_LINES]:
        rows = [cells for _, cells in rows_of(head[start:], form)[0]][: form.header_lines]
        if len(rows) == form.header_lines and set(form.sources) <= set(_joined(rows)):
            return above + start
    return ANY


def _joined(header: list[list[str]]) -> list[str]:
    """The names that stand in all records of a header, one below the other."""
    decoded = [[name.strip() for name in cells] for cells in header]
    return [" ".join(text for text in texts if text) for texts in zip_longest(*decoded, fillvalue="")]


def _is_wide(head: bytes) -> bool:
    """Whether a file begins with the mark of UTF-16 or UTF-32 and a NUL follows, or most of every other byte is NUL."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) and 0 in head:
        return True
    return len(head) >= 8 and any(4 * half.count(0) >= 3 * len(half) for half in (head[::2], head[1::2]))


def shrunk(case: Case, differs: Callable[[Case], bool]) -> Case:
    """A smaller case that differs too: greedily without lines, then without bytes."""
    tries = 0

    def still(one: Case) -> bool:
        nonlocal tries
        tries += 1
        try:
            return tries < TRIES and differs(one)
        except AssertionError:  # of the judge itself
            return False

    for size in (4096, 512, 64, 16, 8, 4, 2, 1):
        at = 0
        while at < len(case.data):
            smaller = case._replace(data=case.data[:at] + case.data[at + size :])
            if still(smaller):
                case = smaller
            else:
                at += size
    simple = case._replace(sizes=type(case.sizes)())
    return simple if still(simple) else case
