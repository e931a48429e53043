"""Turns a block of raw CSV into typed Arrow rows and located rejected rows: the certain way, open to every record.

`pyarrow.csv` cuts the cells as bytes, then each column is cast with the bad
values masked. A block that Arrow reads otherwise than the record scanner is read again, record by record.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from include.ingest.cast import cast_column
from include.ingest.cast.printed import printed
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.kept_record import keep, readable
from include.ingest.csv.names import python_reader
from include.ingest.csv.records import Block
from include.ingest.drift.matching import ABSENT
from include.ingest.drift.rescued_cells import rescue

if TYPE_CHECKING:
    import pandas as pd

    from include.ingest.dataset.columns import Column
    from include.ingest.dataset.definition import Dataset

VALUE_LIMIT = 1 << 10  # characters of a rejected cell, which may be as long as its record
FILE_SHIFT = 40  # there are fewer lines than that


@dataclass(frozen=True)
class Reject:
    """One record that does not fit: where it stands, what is wrong with it, and its text."""

    line_number: int
    byte_offset: int
    column_name: str | None
    value: str | None
    rule: str
    reason: str
    raw: str
    record: bytes | None = None  # the bytes, where `raw` does not give them
    whole: bool = True  # whether `raw` is all of it


@dataclass(frozen=True)
class Losers:
    """Records that lose to another one of the same key, ascending by offset; all copies where none may win."""

    offsets: np.ndarray  # int64: in the file
    first_lines: np.ndarray  # int64: where the key stands first: line, and from bit FILE_SHIFT on the file's number

    def within(self, start: int, end: int) -> Losers:
        """Those that begin in these bytes."""
        low, high = np.searchsorted(self.offsets, (start, end))
        return Losers(self.offsets[low:high], self.first_lines[low:high])

    def among(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the records at these offsets lose (their numbers), and where the key of each stands first."""
        if not len(self.offsets) or not len(offsets):
            return np.empty(0, np.int64), self.first_lines[:0]
        part = self.within(int(offsets.min()), int(offsets.max()) + 1)
        order = np.argsort(offsets, kind="stable")  # a hook may have moved rows
        places = np.searchsorted(offsets, part.offsets, sorter=order)
        present = offsets[order[np.minimum(places, len(order) - 1)]] == part.offsets
        found = order[places[present]]
        by_row = np.argsort(found)
        return found[by_row], part.first_lines[present][by_row]


NO_LOSERS = Losers(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class Rows:
    """The good rows of a block, typed, each with the place of its record in the file."""

    table: pa.Table
    offsets: np.ndarray  # int64: byte offset in the file of each row's record
    lines: np.ndarray  # int64: physical line of each row's record
    rejects: list[Reject] = field(default_factory=list)
    superseded: int = 0  # records left out because another one of the same key wins
    rejected_keys: pa.Table | None = None  # of rejects whose key can be read; in mode `replace` only

    @property
    def read(self) -> int:
        """Records read: good, rejected and superseded."""
        return int(self.table.num_rows) + len(self.rejects) + self.superseded


@dataclass(frozen=True)
class Reader:
    """How to read one file: its dataset, and where each column stands in a record."""

    dataset: Dataset
    dialect: Dialect
    fields: int
    positions: tuple[int, ...]  # of each column, or ABSENT
    clean: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    files: tuple[str, ...] = ()  # their names, where there are several
    rescued: tuple[tuple[str, int], ...] = ()  # fields that go into the dataset's rescue column, with their names

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the typed rows, in the dataset's order."""
        return pa.schema([(name, column.sql_type.arrow) for name, column in self.dataset.columns.items()])

    @property
    def in_file(self) -> list[str]:
        """The dataset's columns in the order of the file."""
        found = sorted(zip(self.positions, self.dataset.columns, strict=True))
        return [name for place, name in found if place != ABSENT]

    @property
    def places(self) -> list[int]:
        """The fields of a record that are of use."""
        return sorted({place for place in self.positions if place != ABSENT} | {place for _, place in self.rescued})


def read_rows(block: Block, reader: Reader, losers: Losers = NO_LOSERS) -> Rows:
    """Parse, cast and check one block. No record is lost: it is a row, a reject, or superseded as `losers` say."""
    records = _Records(block, reader)
    cells, kept, rejects = _cells(records, reader)
    columns, bad = _values(cells, reader, len(kept))
    rejects += [
        records.reject(int(kept[row]), name, None if value is None else readable(value)[:VALUE_LIMIT], rule, reason)
        for row, (name, rule, reason, value) in bad.items()
    ]
    table = pa.table(columns, schema=reader.schema)
    good = np.ones(len(kept), dtype=bool)
    good[list(bad)] = False
    keys = _rejected_keys(records, reader, cells, kept, list(bad)) if reader.dataset.mode == "replace" else []
    if reader.clean is not None and good.any():
        from include.ingest.cast.clean_hook import apply_hook

        before, kept = table.filter(pa.array(good)), kept[good]
        table, chosen, dropped = apply_hook(reader.clean, before, records.lines[kept], reader.dataset)
        keys.append(before.take(pa.array([row for row, *_ in dropped], pa.int64())))
        rejects += [records.reject(int(kept[row]), column, value, *why) for row, column, value, *why in dropped]
        kept = kept[chosen]
        good = np.ones(len(kept), dtype=bool)
    lost, first_lines = losers.among(records.offsets[kept])
    good[lost] = False
    if reader.dataset.duplicates == "reject":
        repeated = table.take(pa.array(lost))
        rejects += _repeated(records, reader, repeated, kept[lost], first_lines)
        keys.append(repeated)
        lost = lost[:0]
    if not good.all():
        table, kept = table.filter(pa.array(good)), kept[good]
    rejects.sort(key=lambda reject: reject.byte_offset)
    return Rows(
        table,
        records.offsets[kept],
        records.lines[kept],
        rejects,
        len(lost),
        _joined_keys(keys, reader) if reader.dataset.mode == "replace" else None,
    )


Bad = dict[int, tuple[str, str, str, bytes | None]]  # a row's first fault: column, rule, reason, cell


def _values(cells: Mapping[int, pa.Array], reader: Reader, count: int) -> tuple[list[pa.Array], Bad]:
    """The typed values of each column, from the cells by their place, and the rows at fault."""
    columns: list[pa.Array] = []
    bad: Bad = {}
    nulls, dataset = reader.dataset.csv.nulls, reader.dataset
    for (name, column), place in zip(dataset.columns.items(), reader.positions, strict=True):
        if place != ABSENT:
            values, faults = cast_column(cells[place], column, nulls)
            found = [(row, fault.rule, fault.reason, cells[place]) for fault in faults for row in fault.rows.tolist()]
        elif name == dataset.rescue_column and reader.rescued:
            values, found = rescue({title: cells[at] for title, at in reader.rescued}, nulls)
        else:
            values, found = _not_held(column, count), []
        columns.append(values)
        for row, rule, reason, texts in found:
            bad.setdefault(row, (name, rule, reason, texts[row].as_py()))
    return columns, bad


def _not_held(column: Column, count: int) -> pa.Array:
    """A column's values where the file lacks it: null, or its default."""
    if column.default is None or not count:
        return pa.nulls(count, column.sql_type.arrow)
    values, _ = cast_column(pa.array([column.default.encode()], pa.binary()), column, [])
    return values.take(pa.array(np.zeros(count, np.int64)))


def _rejected_keys(
    records: _Records, reader: Reader, cells: Mapping[int, pa.Array], kept: np.ndarray, bad: list[int]
) -> list[pa.Table]:
    """Keys of the records that are rejected for a cell or for their width; null where a part can't be read."""
    names, key = list(reader.dataset.columns), reader.dataset.key
    places = [reader.positions[names.index(name)] for name in key]
    faulty = [cells[place].take(pa.array(bad, pa.int64())) for place in places]
    ragged = np.setdiff1d(np.arange(len(records.starts)), kept).tolist()
    raws = [bytes(_transcode(records.raw(number), reader.dataset.csv.encoding)) for number in ragged]
    rows = [row for row in _python_rows(raws, reader.dialect) if len(row) > max(places)]
    short = [pa.array([row[at] for row in rows], pa.binary()) for at in places]
    return [_cast_keys(reader, faulty), _cast_keys(reader, short)]


_NO_RULES: dict[str, Any] = dict.fromkeys(("min", "max", "min_length", "max_length", "pattern", "allowed"))


def _cast_keys(reader: Reader, cells: list[pa.Array]) -> pa.Table:
    """Key cells as values; a key that breaks a rule of its column is one all the same."""
    columns = [_without_rules(reader.dataset.columns[name]) for name in reader.dataset.key]
    nulls = reader.dataset.csv.nulls
    values = [cast_column(cell, column, nulls)[0] for cell, column in zip(cells, columns, strict=True)]
    return pa.table(values, names=reader.dataset.key)


def _without_rules(column: Column) -> Column:
    """The column made anew, as a copy would keep what it has cached of its rules."""
    fields = {name: getattr(column, name) for name in type(column).model_fields}
    return type(column).model_construct(**{**fields, **_NO_RULES})


def _joined_keys(keys: list[pa.Table], reader: Reader) -> pa.Table:
    """The keys without those that lack a part."""
    schema = pa.schema([reader.schema.field(name) for name in reader.dataset.key])
    return pa.concat_tables([table.select(schema.names).cast(schema) for table in keys]).drop_null()


def _repeated(
    records: _Records, reader: Reader, table: pa.Table, numbers: np.ndarray, first_lines: np.ndarray
) -> list[Reject]:
    """The records of a repeated key, where the policy is to reject them all."""
    key, columns = reader.dataset.key, reader.dataset.columns
    values = zip(*(printed(table[name], columns[name].sql_type) for name in key), strict=True)
    return [
        records.reject(
            number, ", ".join(key), ", ".join(map(str, cells))[:VALUE_LIMIT], "duplicate", _first_at(reader, line)
        )
        for number, line, cells in zip(numbers.tolist(), first_lines.tolist(), values, strict=True)
    ]


def without(
    rows: Rows, block: Block, refused: Mapping[int, tuple[str | None, str | None, str, str]], reader: Reader
) -> Rows:
    """The block's rows without some, by number, each rejected with column, value, rule and reason.

    Copies that lost to one of these stay superseded: which of a key's records wins is settled before the load.
    """
    records, numbers = _Records(block, reader), np.fromiter(sorted(refused), np.int64, len(refused))
    places = np.searchsorted(block.offsets, rows.offsets[numbers])
    rejects = list(rows.rejects)
    for row, place in zip(numbers.tolist(), places.tolist(), strict=True):
        column, value, rule, reason = refused[row]
        rejects.append(records.reject(place, column, value if value is None else value[:VALUE_LIMIT], rule, reason))
    good = np.ones(rows.table.num_rows, dtype=bool)
    good[numbers] = False
    keys = rows.rejected_keys
    if keys is not None:
        keys = pa.concat_tables([keys, rows.table.select(keys.schema.names).take(pa.array(numbers))])
    table, rejects = rows.table.filter(pa.array(good)), sorted(rejects, key=lambda reject: reject.byte_offset)
    return Rows(table, rows.offsets[good], rows.lines[good], rejects, rows.superseded, keys)


def _first_at(reader: Reader, line: int) -> str:
    said = f"the key is first at line {line & (1 << FILE_SHIFT) - 1}"
    return f"{said} of {reader.files[line >> FILE_SHIFT]}" if reader.files else said


class _Records:
    """The records of a block by number: bounds, line, and how to reject one."""

    def __init__(self, block: Block, reader: Reader) -> None:
        self.encoding, self.escape = reader.dataset.csv.encoding, reader.dialect.escape
        self.data = block.data
        self.offsets = block.offsets
        self.starts = block.starts
        self.lines = block.lines
        self.ends = np.append(block.starts[1:], len(block.data))

    def raw(self, number: int) -> bytes:
        return bytes(self.data[self.starts[number] : self.ends[number]])

    def reject(self, number: int, column: str | None, value: str | None, rule: str, reason: str) -> Reject:
        where, kept = int(self.offsets[number]), keep(self.raw(number), self.encoding, self.escape)
        return Reject(int(self.lines[number]), where, column, value, rule, reason, *kept)


def raw_cells(block: Block, reader: Reader) -> dict[str, pa.Array]:
    """The dataset's columns that the file holds, as bytes, without the records of a wrong width."""
    cells = _cells(_Records(block, reader), reader)[0]
    held = zip(reader.dataset.columns, reader.positions, strict=True)
    return {name: cells[place] for name, place in held if place != ABSENT}


def _cells(records: _Records, reader: Reader) -> tuple[dict[int, pa.Array], np.ndarray, list[Reject]]:
    """The wanted fields as bytes, the record number of each row, and the records of a wrong width."""
    data = _transcode(records.data, reader.dataset.csv.encoding)
    if data[:3] == codecs.BOM_UTF8:  # Arrow takes it for the file's own mark; here it belongs to a field
        data = b"\n" + bytes(data)
    widths: dict[int, int] = {}
    try:
        cells = _arrow_cells(data, reader, widths)
    except pa.ArrowInvalid:
        cells = None
    if cells is None or len(cells[0]) + len(widths) != len(records.starts):
        cells, widths = _record_cells(records, reader)
    elif (reader.dialect.quote or reader.dialect.escape) and not _is_utf8(data):
        cells = _kept_apart(cells, records, reader, widths)
    short = {number for number, width in widths.items() if width < reader.fields}
    if short and reader.dataset.csv.short_rows == "fill":
        cells, widths = _filled(cells, sorted(short), records, reader, widths)
    rejects = [
        records.reject(number, None, None, "fields", f"{width} fields instead of {reader.fields}")
        for number, width in widths.items()
    ]
    kept = np.delete(np.arange(len(records.starts)), list(widths))
    return dict(zip(reader.places, cells, strict=True)), kept, rejects


def _arrow_cells(data: bytes | memoryview, reader: Reader, widths: dict[int, int]) -> list[pa.Array]:
    def skip(row: pacsv.InvalidRow) -> str:
        widths[row.number - 1] = row.actual_columns
        return "skip"

    names = [str(position) for position in range(reader.fields)]
    wanted = [str(position) for position in reader.places]
    table = pacsv.read_csv(
        pa.py_buffer(data),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        parse_options=pacsv.ParseOptions(
            delimiter=reader.dialect.delimiter.decode(),
            quote_char=reader.dialect.quote.decode() if reader.dialect.quote else False,
            double_quote=reader.dialect.escape is None,
            escape_char=reader.dialect.escape.decode() if reader.dialect.escape else False,
            newlines_in_values=True,
            # Arrow makes a string of such a record and complains on stderr where it can't.
            invalid_row_handler=skip if _is_utf8(data) else None,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.binary()), include_columns=wanted, strings_can_be_null=False
        ),
    )
    return [table[name].combine_chunks() for name in wanted]


def _is_utf8(data: bytes | memoryview) -> bool:
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _record_cells(records: _Records, reader: Reader) -> tuple[list[pa.Array], dict[int, int]]:
    """The slow and certain way: one record at a time, by Python's own CSV reader."""
    encoding = reader.dataset.csv.encoding
    raws = [bytes(_transcode(records.raw(number), encoding)) for number in range(len(records.starts))]
    rows = _python_rows(raws, reader.dialect)
    widths = {number: len(row) for number, row in enumerate(rows) if len(row) != reader.fields}
    good = [row for row in rows if len(row) == reader.fields]
    cells = [pa.array([row[position] for row in good], pa.binary()) for position in reader.places]
    return cells, widths


def _filled(
    cells: list[pa.Array], short: Sequence[int], records: _Records, reader: Reader, widths: Mapping[int, int]
) -> tuple[list[pa.Array], dict[int, int]]:
    """The cells with those of short records among them, null where they have none, and the widths that are left."""
    encoding = reader.dataset.csv.encoding
    rows = _python_rows([bytes(_transcode(records.raw(number), encoding)) for number in short], reader.dialect)
    others = np.delete(np.arange(len(records.starts)), list(widths))
    order = pa.array(np.argsort(np.concatenate([others, np.array(short)]), kind="stable"))
    more = ([row[at] if at < len(row) else None for row in rows] for at in reader.places)
    together = [
        pa.concat_arrays([column, pa.array(added, pa.binary())]).take(order)
        for column, added in zip(cells, more, strict=True)
    ]
    return together, {number: width for number, width in widths.items() if width >= reader.fields}


def _kept_apart(cells: list[pa.Array], records: _Records, reader: Reader, widths: Mapping[int, int]) -> list[pa.Array]:
    """The cells; those of records that are no text are as `_python_rows` has them."""
    numbers = (number for number in range(len(records.starts)) if number not in widths)
    raws = {
        row: bytes(_transcode(records.raw(number), reader.dataset.csv.encoding)) for row, number in enumerate(numbers)
    }
    odd = {row: raw for row, raw in raws.items() if not _is_utf8(raw)}
    read = _python_rows(list(odd.values()), reader.dialect)
    mask = np.zeros(len(raws), dtype=bool)
    mask[list(odd)] = True
    return [
        pc.replace_with_mask(column, pa.array(mask), pa.array([row[position] for row in read], pa.binary()))
        for column, position in zip(cells, reader.places, strict=True)
    ]


def _python_rows(raws: Sequence[bytes], dialect: Dialect) -> list[list[bytes]]:
    csv.field_size_limit(1 << 30)
    rows = []
    for raw in raws:
        text = io.StringIO(raw.decode(errors="surrogateescape"), newline="")
        rows.append([_bytes_of(cell, dialect) for cell in next(python_reader(text, dialect), [])])
    return rows


def _bytes_of(cell: str, dialect: Dialect) -> bytes:
    """The cell in UTF-8, and bytes that are none as they are. Where a quote or an escape stood between bytes that would
    make a letter without it, it is put back: the file has no such letter.
    """
    data = cell.encode(errors="surrogateescape")
    if not cell.isascii() and _is_utf8(data) and any("\udc80" <= letter <= "\udcff" for letter in cell):
        between = (dialect.quote or dialect.escape or b"").decode()
        data = re.sub("(?<=[\udc80-\udcff])(?=[\udc80-\udcff])", lambda _: between, cell).encode(
            errors="surrogateescape"
        )
    return data


def _transcode(data: bytes | memoryview, encoding: str) -> bytes | memoryview:
    """The same text in UTF-8. A byte that the encoding does not know stays as it is, so the cast finds it."""
    if encoding == "utf-8":
        return data
    return bytes(data).decode(encoding, errors="surrogateescape").encode(errors="surrogateescape")


def storable_text(text: str) -> str:
    """Text fit for a PostgreSQL text column: of a message that quotes a file, or its name, in part."""
    return readable(text.encode(errors="backslashreplace"))
