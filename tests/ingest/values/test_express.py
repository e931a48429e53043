"""The short way writes the same bytes as the certain way, or leaves the record alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from include.ingest.cast.rows import NO_LOSERS, Losers, Reader, read_rows
from include.ingest.csv.records import Block, read_blocks
from include.ingest.csv.scan import scan_file
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.express import PATIENCE, Encoded, Express, can_express
from include.ingest.plan import dialect_of
from include.ingest.source.local import LocalFile
from include.ingest.table.binary_copy import encode_rows
from tests.ingest.loading import make_dataset

EVERYTHING = """
name: everything
source: x
target: public.everything
mode: append
csv: {header: false, nulls: ["", "NULL", "-1"]}
columns:
  id: {type: bigint, nullable: true}
  small: {type: smallint, nullable: true, min: -5}
  medium: {type: integer, default: 7}
  price: {type: "numeric(12,2)", nullable: true, min: -3, max: 99999.5}
  fine: {type: "numeric(18,7)", nullable: true}
  whole: {type: "numeric(6,0)", nullable: true}
  wide: {type: "numeric(38,20)", nullable: true}
  ratio: {type: double precision, nullable: true}
  day: {type: date, nullable: true, min: 1900-01-01}
  clock: {type: time, nullable: true, min: "10:20:00"}
  local: {type: timestamp, nullable: true, min: 1990-01-02, max: 2026-11-25T23:00:00}
  moment: {type: timestamptz, nullable: true, max: 2026-11-26T02:20:00Z}
  berlin: {type: timestamptz, nullable: true, timezone: Europe/Berlin}
  mark: {type: uuid, nullable: true}
  flag: {type: boolean, nullable: true}
  word: {type: varchar(3), pattern: "[A-Z]{2,3}", nullable: true}
  short: {type: varchar(4), nullable: true}
  long: {type: text, trim: true, min_length: 2, nullable: true}
  data: {type: jsonb, nullable: true}
"""
EVERY = Dataset.model_validate(yaml.safe_load(EVERYTHING))
NUMBERS = [
    "0", "-0", "7", "-5", "-6", "007", "+5", "1.0", "1.", ".5", "-.5", "1e3", "0x10", "32767", "32768",
    "-32768", "2147483647", "2147483648", "9223372036854775807", "999999999999999999", "1234567890123456789",
    "123456.00", "99999.50", "99999.51", "1.005", "1.500", "0.0000001", "12345678901.1234567", "1000000",
    "99999999999", "--1", "1-", "1 ", "٣", "0.1", "123456789012345", "1234567890.12345", "0.30000000000000004",
    "NaN", "1,5", "-0.00",
]  # fmt: skip
MOMENTS = [
    "2026-11-25", "2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "1899-12-31", "0099-01-01",
    "9899-12-31", "9999-12-31", "2026-13-01", "2026-00-10", "2026-1-1", "2026-11-25T10:20:30",
    "2026-11-25 10:20:30", "2026-11-25t10:20:30", "2026-11-25 10:20:30.5", "2026-11-25 10:20:30.123456",
    "2026-11-25 10:20:30.1234567", "2026-11-25 10:20:30.", "2026-11-25T10:20:30Z", "2026-11-25T10:20:30+02:00",
    "2026-11-25T10:20:30-15:59", "2026-11-25T10:20:30+16:00", "2026-11-25T10:20:30+0200",
    "2026-11-25T10:20:30+02", "2026-11-25T24:00:00", "2026-11-25T23:59:60", "2026-10-25T02:30:00",
    "2026-03-29T02:30:00", "1969-12-31T23:59:59.999999Z", "10:20", "10:20:30", "23:59:59.999999", "24:00:00",
    "10:20:30Z", "2026-11-25T10:20", "2O26-11-25", "1990-01-01T00:00:00Z",
]  # fmt: skip
OTHERS = [
    "", "NULL", "null", "-1", "true", "F", "yes", "maybe", "EUR", "EU", "E", "EURO", "äöü", "äöüß", "abcde",
    "ab", " ab", "ab ", "\xa0ab", "a\x00b", "\udcff", '"', 'a"b', '""', ",", "a\nb", "\r\n", "\r", "{}",
    '{"a": 1}', "[1", "日本語だ", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "6FA459EAEE8A3CA4894EDB77E160355E",
    "6fa459ea-ee8a-3ca4-894e-db77e160355", "6fa459ea-ee8a-3ca4-894e-db77e160355g", "\ufeffab",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
]  # fmt: skip
CELL = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(MOMENTS), st.sampled_from(OTHERS))
LIKELY = {
    "id": NUMBERS, "small": NUMBERS, "medium": NUMBERS, "price": NUMBERS, "fine": NUMBERS, "whole": NUMBERS,
    "wide": NUMBERS, "ratio": NUMBERS, "day": MOMENTS, "clock": MOMENTS, "local": MOMENTS, "moment": MOMENTS,
    "berlin": MOMENTS, "mark": OTHERS, "flag": OTHERS, "word": OTHERS, "short": OTHERS, "long": OTHERS, "data": OTHERS,
}  # fmt: skip
NEUTRAL = {name: "" for name in LIKELY} | {"medium": "1"}


def reader_of(dataset: Dataset, positions: tuple[int, ...] | None = None, fields: int | None = None) -> Reader:
    places = positions or tuple(range(len(dataset.columns)))
    return Reader(dataset, dialect_of(dataset), fields or len(places), places)


def block_of(lines: list[bytes]) -> Block:
    ends = np.cumsum([len(line) for line in lines])
    starts = np.append(0, ends[:-1])
    return Block(b"".join(lines), starts, starts.copy(), np.arange(len(lines)))


def encode(reader: Reader, block: Block, losers: Losers = NO_LOSERS) -> tuple[Encoded, bytes]:
    parts: list[bytes] = []
    return Express(reader).encode(block, losers, lambda part: parts.append(bytes(part))), b"".join(parts)


def certain(reader: Reader, block: Block) -> bytes:
    """The block's rows by the certain way, which must take them all."""
    rows = read_rows(block, reader)
    assert not rows.rejects
    table = rows.table.select(reader.in_file)
    return b"".join(encode_rows(batch, reader.dataset).tobytes() for batch in table.to_batches())


def quoted(cell: str, how: str) -> bytes:
    raw = cell.encode(errors="surrogateescape")
    if how == "always" or (how == "needed" and set(cell) & set('",\r\n')):
        return b'"' + raw.replace(b'"', b'""') + b'"'
    return raw


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_plain_records_are_what_the_certain_way_makes_of_them(data: st.DataObject) -> None:
    dataset = EVERY
    order = data.draw(st.permutations(range(len(dataset.columns))))
    reader = reader_of(dataset, tuple(order))
    lines = []
    for _ in range(data.draw(st.integers(1, 12))):
        cells = dict(NEUTRAL)
        for name in data.draw(st.lists(st.sampled_from(list(LIKELY)), max_size=4, unique=True)):
            cells[name] = data.draw(st.one_of(st.sampled_from(LIKELY[name]), CELL))
        how = data.draw(st.sampled_from(["needed", "always", "never"]))
        row = [quoted(cells[name], how) for name in reader.in_file]
        if data.draw(st.integers(0, 20)) == 0:
            row = row[:-1]
        line = b",".join(row) + data.draw(st.sampled_from([b"\n", b"\r\n"]))
        lines.append(line.replace(b"\n", b"").replace(b"\r", b"") + b"\n" if how == "never" else line)
    block = block_of(lines)
    encoded, written = encode(reader, block)
    assert len(encoded.odd.starts) + encoded.rows == len(lines)
    assert np.array_equal(encoded.plain, ~np.isin(block.offsets, encoded.odd.offsets))
    assert written == (certain(reader, block.only(encoded.plain)) if encoded.rows else b"")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("id", ["7", "-5", "999999999999999999", "NULL"]), ("price", ["0", "-0.00", "99999.50", "1.5"]),
        ("fine", ["0.0000001", "-12345678.1234567"]), ("whole", ["10000", "20000"]),
        ("ratio", ["0.1", "-0", "123456789012345", "1234567890.12345"]), ("day", ["2024-02-29"]),
        ("clock", ["23:59:59.999999"]), ("local", ["2026-11-25T10:20:30.5"]),
        ("moment", ["1969-12-31T23:59:59.999999Z", "2026-11-25 10:20:30", "2026-11-25T10:20:30-15:59"]),
        ("berlin", ["2026-11-25T10:20:30+02:00"]), ("mark", ["6fa459ea-EE8A-3ca4-894e-db77e160355e"]),
        ("flag", ["yes", "F", ""]), ("word", ["EUR", "EU"]), ("short", ["abc", "äö"]), ("long", ["ab c", 'say "x"']),
        ("data", ["[1]"]),
    ],
)  # fmt: skip
def test_usual_cells_are_plain(name: str, plain: list[str]) -> None:
    reader = reader_of(EVERY)
    for cell in plain:
        line = b",".join(quoted((NEUTRAL | {name: cell})[column], "needed") for column in reader.in_file) + b"\n"
        encoded, written = encode(reader, block_of([line]))
        assert encoded.rows == 1, cell
        assert written == certain(reader, block_of([line]))


def test_an_orders_file_is_plain(tmp_path: Path) -> None:
    dataset = load_dataset(Path(__file__).parents[3] / "include" / "datasets" / "orders.yaml")
    cells = b'7,11,2026-11-25T10:20:30Z,new,EUR,12.50,3,SKU-1,a@example.com,true,,"a ""note"", with\na line"\n'
    encoded, written = encode(reader_of(dataset), block_of([cells] * 50))
    assert (encoded.rows, encoded.keys.tolist()) == (50, [7] * 50)
    assert written == certain(reader_of(dataset), block_of([cells] * 50))


@pytest.mark.parametrize("policy", ["last", "reject"])
def test_losers_are_left_out(tmp_path: Path, policy: str) -> None:
    dataset = make_dataset(tmp_path, duplicates=policy)
    block = block_of([b"1,a,1\n", b"1,b,1\n", b"2,c,1\n"])
    encoded, written = encode(reader_of(dataset), block, Losers(block.offsets[:1], np.array([1])))
    assert encoded.keys.tolist() == [1, 2]
    assert (encoded.superseded, len(encoded.odd.starts)) == ((1, 0) if policy == "last" else (0, 1))
    assert written == certain(reader_of(dataset), block.only(np.array([False, True, True])))


def test_the_end_of_a_file_without_a_line_end_is_odd(tmp_path: Path) -> None:
    encoded, _ = encode(reader_of(make_dataset(tmp_path)), block_of([b"1,a,1\n", b"2,b,2"]))
    assert (encoded.rows, encoded.odd.lines.tolist()) == (1, [1])


def test_columns_that_the_dataset_does_not_name_are_passed_over(tmp_path: Path) -> None:
    reader = reader_of(make_dataset(tmp_path), (3, 1, 0), 5)
    block = block_of([b'1.5,label,"any ""thing"", here",7,\xff\n', b"2,l,,8,,too many\n"])
    encoded, written = encode(reader, block)
    assert (encoded.rows, encoded.odd.lines.tolist()) == (1, [1])
    assert written == certain(reader, block.only(np.array([True, False])))


def test_a_file_of_odd_records_is_left_to_the_certain_way(tmp_path: Path) -> None:
    express = Express(reader_of(make_dataset(tmp_path)))
    block = block_of([b"+1,a,1\n"] * 10)
    for _ in range(PATIENCE):
        assert express.encode(block, NO_LOSERS, len).odd.lines.tolist() == list(range(10))
    assert express.encode(block_of([b"1,a,1\n"]), NO_LOSERS, len).rows == 0


@pytest.mark.parametrize("csv", ["escape: '\\'", "encoding: latin-1", "nulls: ['\"']", "nulls: ['a\"b']"])
def test_dialects_that_the_short_way_does_not_know(tmp_path: Path, csv: str) -> None:
    text = EVERYTHING.replace('nulls: ["", "NULL", "-1"]', csv)
    assert not can_express(reader_of(make_dataset(tmp_path, text)), keys=False)


def test_words_beyond_the_room_are_odd(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, EVERYTHING)
    chance = random.Random(1)
    words = ["".join(chance.choices("ABCDEFGHIJ", k=3)) for _ in range(900)]
    reader = reader_of(dataset)
    cells = [(NEUTRAL | {"word": word}) for word in words]
    lines = [b",".join(row[name].encode() for name in reader.in_file) + b"\n" for row in cells]
    encoded, written = encode(reader, block_of(lines))
    assert 0 < len(encoded.odd.starts) < len(lines)
    assert written == certain(reader, block_of(lines).only(encoded.plain))


def test_a_block_of_many_parts(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    file = tmp_path / "items.csv"
    file.write_text("".join(f"{number},label {number},{number % 100}.25\n" for number in range(60_000)))
    reader = reader_of(dataset)
    (chunk,) = scan_file(LocalFile(file), reader.dialect, header=False, chunk_bytes=1 << 30).chunks
    (block,) = read_blocks(LocalFile(file), reader.dialect, chunk)
    encoded, written = encode(reader, block)
    assert encoded.keys.tolist() == list(range(60_000))
    assert written == certain(reader, block)
