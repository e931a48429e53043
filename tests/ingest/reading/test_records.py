from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from include.ingest.csv import scan
from include.ingest.csv.grammar import Dialect
from include.ingest.csv.preamble import BOM, start_of
from include.ingest.csv.records import Block, Chunk, RecordTooLong, read_blocks
from include.ingest.csv.scan import Layout, RecordNotEnded, digest_of, scan_file
from include.ingest.errors import IngestError, SourceChanged, SourceDamaged
from include.ingest.source.local import LocalFile

DOUBLED = Dialect()
ESCAPED = Dialect(escape=b"\\")
DIALECTS = [
    DOUBLED,
    ESCAPED,
    Dialect(quote=None),
    Dialect(quote=None, escape=b"\\"),
    Dialect(b"\t", b"'"),
    Dialect(b"|", b"'", b"^"),
    Dialect(comment=b"#"),
    Dialect(b"|", b"'", b"^", b"%"),
    Dialect(quote=None, comment=b"#"),
]
BIG = 1 << 30


@dataclass(frozen=True)
class Seen:
    """One record as a reader saw it."""

    offset: int
    raw: bytes
    line: int


def reference(data: bytes, dialect: Dialect) -> list[Seen]:
    """The records of `data`, one byte at a time, as the states of CPython's `_csv.c` have them."""
    return walk(data, dialect)[0]


def walk(data: bytes, dialect: Dialect) -> tuple[list[Seen], int | None]:
    """The records, and the line on which the text begins that never ends: a quoted field, or what is escaped.

    Comments are none, and begin nothing.
    """
    comment = dialect.comment[0] if dialect.comment else None
    quote = dialect.quote[0] if dialect.quote else None
    escape = dialect.escape[0] if dialect.escape else None
    base = len(BOM) if data.startswith(BOM) else 0
    found, start, line, start_line, state, escaped = [], base, 1, 1, "start", False
    opened = 0
    for at in range(base, len(data)):
        byte = data[at]
        ends = byte == 10 or (byte == 13 and data[at + 1 : at + 2] != b"\n")
        line += ends
        inner = state == "quoted"
        if state == "comment" or (at == start and byte == comment):
            state = "comment"
            if ends:
                start, start_line, state = at + 1, line, "start"
        elif escaped:
            escaped, state = False, "quoted" if inner else "field"
        elif byte == escape:
            escaped, state = True, "quoted" if inner else "field"
        elif inner:
            if byte == quote:
                state = "field" if escape else "closed"
        elif byte == quote and state in ("start", "closed"):
            opened = line if state == "start" else opened
            state = "quoted"
        elif ends:
            if data[start : at + 1] not in (b"\n", b"\r", b"\r\n"):
                found.append(Seen(start, data[start : at + 1], start_line))
            start, start_line, state = at + 1, line, "start"
        else:
            state = "start" if byte == dialect.delimiter[0] else "field"
    if start < len(data) and state != "comment":
        found.append(Seen(start, data[start:], start_line))
    return found, opened if state == "quoted" else line if escaped else None


def python_rows(data: bytes, dialect: Dialect) -> list[list[str]]:
    """The rows that Python's csv reads, blank lines left out."""
    reader = csv.reader(
        io.StringIO(data.decode("latin-1"), newline=""),
        delimiter=dialect.delimiter.decode(),
        quotechar=dialect.quote.decode() if dialect.quote else None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        doublequote=dialect.escape is None,
        escapechar=dialect.escape.decode() if dialect.escape else None,
    )
    return [row for row in reader if row]


def arrow_widths(data: bytes, dialect: Dialect) -> list[int]:
    """How many fields each record has for pyarrow, in no certain order."""
    others: list[int] = []

    def note(row: pacsv.InvalidRow) -> str:
        others.append(row.actual_columns)
        return "skip"

    table = pacsv.read_csv(
        pa.py_buffer(data),
        pacsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=["only"]),
        pacsv.ParseOptions(
            delimiter=dialect.delimiter.decode(),
            quote_char=dialect.quote.decode() if dialect.quote else False,
            double_quote=dialect.escape is None,
            escape_char=dialect.escape.decode() if dialect.escape else False,
            newlines_in_values=True,
            invalid_row_handler=note,
        ),
        pacsv.ConvertOptions(column_types={"only": pa.binary()}),
    )
    return [1] * table.num_rows + others


def seen(blocks: list[Block]) -> list[Seen]:
    """The records of some blocks."""
    found = []
    for block in blocks:
        bounds = [*block.starts.tolist(), len(block.data)]
        assert block.starts.dtype == block.lines.dtype == np.int64
        places = zip(block.offsets.tolist(), bounds[:-1], bounds[1:], block.lines.tolist(), strict=True)
        for offset, start, end, line in places:
            found.append(Seen(offset, bytes(block.data[start:end]), line))
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


def layout_of(file: Path, data: bytes, dialect: Dialect = DOUBLED, header: bool = False, chunk: int = BIG) -> Layout:
    file.write_bytes(data)
    return scan_file(LocalFile(file), dialect, header=header, chunk_bytes=chunk, max_chunks=BIG)


def records_of(file: Path, data: bytes, dialect: Dialect = DOUBLED, header: bool = False, chunk: int = 1) -> list[Seen]:
    layout = layout_of(file, data, dialect, header, chunk)
    return [one for part in layout.chunks for one in seen(list(read_blocks(LocalFile(file), dialect, part)))]


@st.composite
def csv_bytes(draw: st.DrawFn, dialect: Dialect) -> bytes:
    """Bytes in which everything that could mislead a reader is frequent, or a well-formed file."""
    delimiter, quote, escape = dialect.delimiter, dialect.quote or b'"', dialect.escape or b"\\"
    comment = dialect.comment or b"#"
    special = [delimiter, quote, quote, b"\n", b"\r", b"\r\n", escape, comment]
    inner = st.sampled_from([*special, b"a", "é€".encode()])
    doubled = b"" if dialect.escape else quote
    mark = dialect.escape or b""
    quoted = inner.map(lambda part: mark + part if mark else part.replace(quote, quote + doubled))
    field = st.one_of(
        st.sampled_from([b"", b"a", b"bcd", "é".encode(), b"1.5"]),
        st.lists(quoted, max_size=3).map(lambda parts: quote + b"".join(parts) + quote),
    )
    neat = st.lists(field, min_size=1, max_size=3).map(delimiter.join)
    wild = st.lists(inner, max_size=8).map(b"".join)
    remark = st.lists(inner, max_size=4).map(lambda parts: comment + b"".join(parts))
    lines = draw(st.lists(st.one_of(neat, neat, wild, *([remark] if dialect.comment else [])), max_size=8))
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"]))
    lines *= draw(st.sampled_from([1, 1, 1, 9]))  # bytes without a meaning are passed 64 at a time
    text = end.join(lines) + draw(st.sampled_from([b"", end, b"\r", b"\n\n"]))
    return draw(st.sampled_from([b"", b"", BOM])) + text


@st.composite
def files(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    dialect = draw(st.sampled_from(DIALECTS))
    return dialect, draw(csv_bytes(dialect))


QUICKLY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example of a property writes anew."""
    return tmp_path_factory.mktemp("records") / "any.csv"


@dataclass(frozen=True)
class Sizes:
    """Every size that must not matter."""

    chunk: int
    block: int
    segment: int
    piece: int
    max_chunks: int


SIZES = st.builds(
    Sizes,
    st.one_of(st.integers(1, 40), st.just(300)),
    st.one_of(st.integers(1, 20), st.just(200)),
    st.one_of(st.integers(1, 12), st.just(150)),
    st.one_of(st.integers(1, 9), st.integers(60, 140)),
    st.integers(1, 5),
)


@QUICKLY
@given(files(), st.booleans(), SIZES)
@example((DOUBLED, b'a,"b""\n""c"\r\n'), True, Sizes(1, 1, 1, 1, 1))
@example((Dialect(comment=b"#"), BOM + b'#,"\n1\n'), False, Sizes(40, 20, 150, 140, 5))
@example((Dialect(b"|", b"'", b"^", b"%"), b"a^\n%|'\n'\nb\n"), False, Sizes(1, 20, 150, 3, 5))
def test_any_file_is_cut_as_the_reference_cuts_it(
    scratch: Path, case: tuple[Dialect, bytes], header: bool, sizes: Sizes
) -> None:
    dialect, data = case
    wanted, unended = walk(data, dialect)
    scratch.write_bytes(data)
    cut = partial(scan_file, header=header, segment_bytes=sizes.segment, piece_bytes=sizes.piece)
    if unended is not None:
        with pytest.raises(RecordNotEnded, match=rf"any\.csv:{unended}: "):
            cut(LocalFile(scratch), dialect, chunk_bytes=sizes.chunk, max_chunks=BIG)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PIECE_BYTES", sizes.piece)
        many = cut(LocalFile(scratch), dialect, chunk_bytes=sizes.chunk, max_chunks=BIG)
        few = cut(LocalFile(scratch), dialect, chunk_bytes=sizes.chunk, max_chunks=sizes.max_chunks, threads=1)
        blocks = [list(read_blocks(LocalFile(scratch), dialect, part, block_bytes=sizes.block)) for part in many.chunks]
        whole = [one for part in few.chunks for one in seen(list(read_blocks(LocalFile(scratch), dialect, part)))]
    if header and wanted:
        assert many.header == ((wanted[0].offset, len(wanted[0].raw), wanted[0].line),)
        wanted = wanted[1:]
    assert [one for part in blocks for one in seen(part)] == wanted
    assert whole == wanted
    assert many.digest == few.digest
    assert len(few.chunks) <= sizes.max_chunks
    assert [part.number for part in many.chunks] == list(range(len(many.chunks)))
    for part, own in zip(many.chunks, blocks, strict=True):
        assert own, "a chunk without a record"
        assert (part.offset, part.first_line) == (seen(own)[0].offset, seen(own)[0].line)
    starts = [one.offset for one in wanted]
    size = len(data) - starts[0] if starts else 0
    targets = range(starts[0], len(data), ceil(size / ceil(size / sizes.chunk))) if starts else ()
    cuts = {min((start for start in starts if start >= target), default=-1) for target in targets}
    assert {part.offset for part in many.chunks} == cuts - {-1}


@QUICKLY
@given(
    files(), st.lists(st.sampled_from([b"", b"any", b'an "open', b"#", b"'"]), max_size=3), st.sampled_from([b"", BOM]),
    st.sampled_from([b"\n", b"\r", b"\r\n"]), st.integers(0, 3), st.integers(1, 3), SIZES,
)  # fmt: skip
@example((Dialect(comment=b"#"), b'#"\n1\n#\n2\n#"'), [b'"'], b"", b"\n", 0, 1, Sizes(1, 1, 1, 1, 1))
def test_what_stands_above_and_below_the_records_is_in_no_chunk(
    scratch: Path, case: tuple[Dialect, bytes], above: list[bytes], mark: bytes, end: bytes, header: int, footer: int,
    sizes: Sizes,
) -> None:  # fmt: skip
    dialect, body = case[0], case[1].removeprefix(BOM)
    assume(not (end == b"\r" and body.startswith(b"\n")))
    wanted, unended = walk(body, dialect)
    assume(unended is None)
    text = mark + b"".join(line + end for line in above)
    scratch.write_bytes(text + body)
    with LocalFile(scratch).open() as opened:
        start = start_of("any.csv", opened, len(above))
    assert start == (len(text), len(above) + 1)
    moved = [Seen(one.offset + len(text), one.raw, one.line + len(above)) for one in wanted]
    cut = partial(
        scan_file, header=header > 0, header_records=header, footer_records=footer, start=start,
        segment_bytes=sizes.segment, piece_bytes=sizes.piece, chunk_bytes=sizes.chunk, max_chunks=BIG,
    )  # fmt: skip
    if len(moved) < header + footer:
        with pytest.raises(SourceDamaged, match=rf"the file ends after {max(0, len(moved) - header)} records of data"):
            cut(LocalFile(scratch), dialect)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PIECE_BYTES", sizes.piece)
        layout = cut(LocalFile(scratch), dialect)
    found = [list(read_blocks(LocalFile(scratch), dialect, part, block_bytes=sizes.block)) for part in layout.chunks]
    assert [(one.offset, len(one.raw), one.line) for one in moved[:header]] == list(layout.header)
    assert [one for blocks in found for one in seen(blocks)] == moved[header:-footer]
    assert all(found), "a chunk without a record"
    assert layout.end == moved[-footer].offset
    assert layout.digest == digest_of(LocalFile(scratch), segment_bytes=sizes.segment)


@pytest.mark.parametrize(("chunk_bytes", "lanes", "sizes"), [
    (1000, 2, [400]), (399, 2, [200, 200]), (130, 1, [100] * 4), (130, 3, [68, 68, 68, 64, 68, 64]),
])  # fmt: skip
def test_chunks_are_of_one_size_and_fill_the_lanes(
    scratch: Path, chunk_bytes: int, lanes: int, sizes: list[int]
) -> None:
    scratch.write_bytes(b"1,2\n" * 100)
    layout = scan_file(LocalFile(scratch), Dialect(), header=False, chunk_bytes=chunk_bytes, lanes=lanes)
    assert [chunk.length for chunk in layout.chunks] == sizes


@pytest.mark.parametrize(
    ("worth", "lanes", "sizes"), [(100, 2, [200, 200]), (201, 2, [400]), (200, 1, [400]), (200, 4, [100] * 4)]
)
def test_a_file_that_is_worth_it_fills_the_lanes(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, worth: int, lanes: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(scan, "WORTH_BYTES", worth)
    scratch.write_bytes(b"1,2\n" * 100)
    layout = scan_file(LocalFile(scratch), Dialect(), header=False, chunk_bytes=1000, lanes=lanes)
    assert [chunk.length for chunk in layout.chunks] == sizes


@QUICKLY
@given(files())
def test_python_reads_each_record_as_it_reads_the_file(scratch: Path, case: tuple[Dialect, bytes]) -> None:
    dialect, data = case
    assume(walk(data, dialect)[1] is None and not dialect.comment)  # which Python does not know
    found = records_of(scratch, data, dialect)
    rows = [row for one in found for row in python_rows(one.raw, dialect)]
    assert rows == python_rows(data.removeprefix(BOM), dialect)
    assert len(rows) == len(found)


@QUICKLY
@given(files())
def test_arrow_sees_the_same_records(case: tuple[Dialect, bytes]) -> None:
    dialect, data = case
    assume(not dialect.comment)
    widths = [len(python_rows(one.raw, dialect)[0]) for one in reference(data, dialect)]
    if widths:
        assert sorted(arrow_widths(data.removeprefix(BOM), dialect)) == sorted(widths)


CASES = [
    pytest.param(DOUBLED, b'1,"a\nb"\n2,c\n', [(b'1,"a\nb"\n', 1), (b"2,c\n", 3)], id="newline in quotes"),
    pytest.param(DOUBLED, b'1,"a\r\nb"\r\n2\r\n', [(b'1,"a\r\nb"\r\n', 1), (b"2\r\n", 3)], id="CRLF"),
    pytest.param(DOUBLED, b'1\r"2\r3"\r4', [(b"1\r", 1), (b'"2\r3"\r', 2), (b"4", 4)], id="lone CR"),
    pytest.param(DOUBLED, b'"a""\n""b"\nc\n', [(b'"a""\n""b"\n', 1), (b"c\n", 3)], id="doubled quotes"),
    pytest.param(DOUBLED, b'""""\n""\n"""\n"\n', [(b'""""\n', 1), (b'""\n', 2), (b'"""\n"\n', 3)], id="only quotes"),
    pytest.param(DOUBLED, b'5" pipe,x\n6,y\n', [(b'5" pipe,x\n', 1), (b"6,y\n", 2)], id="quote in a plain field"),
    pytest.param(DOUBLED, b'a"",b\na"""\nc\n', [(b'a"",b\n', 1), (b'a"""\n', 2), (b"c\n", 3)], id="literal runs"),
    pytest.param(DOUBLED, b'"a"b,c\n"d"e"\nf\n', [(b'"a"b,c\n', 1), (b'"d"e"\n', 2), (b"f\n", 3)], id="text after"),
    pytest.param(DOUBLED, b'"a" "b\nc"\n', [(b'"a" "b\n', 1), (b'c"\n', 2)], id="quote after text after quotes"),
    pytest.param(DOUBLED, b'a, "b\nc"\n', [(b'a, "b\n', 1), (b'c"\n', 2)], id="space before a quote"),
    pytest.param(DOUBLED, b"\n\na\n\r\n\nb\n\n", [(b"a\n", 3), (b"b\n", 6)], id="blank lines"),
    pytest.param(DOUBLED, "é,“\nü\n".encode(), [("é,“\n".encode(), 1), ("ü\n".encode(), 2)], id="UTF-8"),
    pytest.param(ESCAPED, b"a\\\nb\nc\n", [(b"a\\\nb\n", 1), (b"c\n", 3)], id="escaped newline outside"),
    pytest.param(ESCAPED, b"a\\\r\nb\n", [(b"a\\\r\n", 1), (b"b\n", 2)], id="escaped CR, then LF ends"),
    pytest.param(ESCAPED, b'"a\\"\nb"\nc\n', [(b'"a\\"\nb"\n', 1), (b"c\n", 3)], id="escaped quote"),
    pytest.param(ESCAPED, b'"a\\\\"\nb\n', [(b'"a\\\\"\n', 1), (b"b\n", 2)], id="escaped escape"),
    pytest.param(ESCAPED, b'\\"a\nb"\n', [(b'\\"a\n', 1), (b'b"\n', 2)], id="escaped quote at the start"),
    pytest.param(ESCAPED, b'a\\,"b\nc\n', [(b'a\\,"b\n', 1), (b"c\n", 2)], id="quote after escaped delimiter"),
    pytest.param(ESCAPED, b'"a""b\nc"\n', [(b'"a""b\n', 1), (b'c"\n', 2)], id="nothing is doubled"),
    pytest.param(Dialect(quote=None), b'"a\nb"\n', [(b'"a\n', 1), (b'b"\n', 2)], id="quoting off"),
]


@pytest.mark.parametrize("segment", [1, 2, 3, 1000])
@pytest.mark.parametrize(("dialect", "data", "wanted"), CASES)
def test_grammar(file: Path, dialect: Dialect, data: bytes, wanted: list[tuple[bytes, int]], segment: int) -> None:
    file.write_bytes(data)
    for chunk_bytes in (1, 5, BIG):
        layout = scan_file(LocalFile(file), dialect, header=False, chunk_bytes=chunk_bytes, segment_bytes=segment)
        blocks = [
            block for part in layout.chunks for block in read_blocks(LocalFile(file), dialect, part, block_bytes=2)
        ]
        assert [(one.raw, one.line) for one in seen(blocks)] == wanted
    assert [(one.raw, one.line) for one in reference(data, dialect)] == wanted


@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize(
    ("data", "header", "records"),
    [
        (b"", 0, 0),
        (b"\n\r\n", 0, 0),
        (b"id,name", 7, 0),
        (b"id,name\n", 8, 0),
        (b"id,name\r\n\r\n", 9, 0),
        (b'"id\n1",name\r\n1,a', 13, 1),
        (b"id,name\n1,a\n2,b", 8, 2),
    ],
)
def test_header(file: Path, bom: bytes, data: bytes, header: int, records: int) -> None:
    layout = layout_of(file, bom + data, header=True, chunk=1)
    assert (layout.size, sum(record.length for record in layout.header)) == (len(bom + data), header)
    assert not header or layout.header[0].offset == len(bom)
    assert len(layout.chunks) == records


def test_header_after_blank_lines(file: Path) -> None:
    layout = layout_of(file, b"\n\r\nid\n\n1\n", header=True)
    assert layout.header == ((3, 3, 3),)
    assert layout.chunks == (Chunk(0, 7, 2, 5),)


def test_chunks_grow_to_their_limit(file: Path) -> None:
    file.write_bytes(b"id\n" + b"".join(b"%d\n" % number for number in range(1000)))
    layout = scan_file(LocalFile(file), DOUBLED, header=True, chunk_bytes=1, max_chunks=7)
    assert len(layout.chunks) == 7
    assert layout.chunks[0].offset == 3
    assert sum(part.length for part in layout.chunks) == layout.size - 3
    assert [part.first_line for part in layout.chunks] == sorted({part.first_line for part in layout.chunks})


def test_real_sizes_of_pieces_and_segments(file: Path) -> None:
    line = b'%d,"a ""b""\nc",plain 5" pipe,\r\n'
    data = b"".join(line % number for number in range(200_000))
    layout = layout_of(file, data, chunk=1 << 20)
    records_found = seen([block for part in layout.chunks for block in read_blocks(LocalFile(file), DOUBLED, part)])
    assert len(layout.chunks) == -(-len(data) // (1 << 20))
    assert [one.line for one in records_found] == list(range(1, 400_000, 2))
    assert b"".join(one.raw for one in records_found) == data


def test_digest_is_of_the_content(file: Path) -> None:
    data = b"id\n1\n" * 1000
    same = {layout_of(file, data, header=header, chunk=chunk).digest for header in (True, False) for chunk in (1, 99)}
    same |= {
        scan_file(LocalFile(file), ESCAPED, header=True, chunk_bytes=7, threads=threads).digest for threads in (1, 2, 5)
    }
    assert len(same) == 1
    others = {layout_of(file, other).digest for other in (data[:-1], BOM + data, b"jd" + data[2:], b"")}
    assert len(others | same) == 5


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("dialect", "rest", "line"),
    [
        (DOUBLED, b'2,"b\n3,c\n', 3),
        (DOUBLED, b'2,"b""\n3,""c\n', 3),
        (DOUBLED, b'"2","b\n3",c\n4,d,"', 5),
        (DOUBLED, b'2,5" pipe\n3,"c" d "\n4,"', 5),
        (ESCAPED, b'2,"b\\"\n3,c\n', 3),
        (ESCAPED, b'2,"b"\n3,"c\\', 4),
        (ESCAPED, b"2,b\n3,c\\", 4),
        (Dialect(quote=None, escape=b"\\"), b'2,"b\n3,c\\', 4),
    ],
)
def test_a_file_that_ends_inside_a_field_is_refused(
    file: Path, dialect: Dialect, rest: bytes, line: int, end: bytes
) -> None:
    file.write_bytes((b"id,note\n1,a\n" + rest).replace(b"\n", end))
    for segment, piece, chunk in [(1, 1, 1), (7, 3, 5), (1000, 1000, BIG)]:
        with pytest.raises(RecordNotEnded, match=rf"orders\.csv:{line}: .*(never closed|nothing follows)") as caught:
            scan_file(
                LocalFile(file), dialect, header=True, chunk_bytes=chunk, segment_bytes=segment, piece_bytes=piece
            )
        assert not caught.value.retryable


def test_a_header_that_never_ends_is_refused(file: Path) -> None:
    with pytest.raises(RecordNotEnded, match=r"orders\.csv:1: .* byte 3 "):
        layout_of(file, b'id,"note\n1,a\n', header=True)


def test_a_quote_that_is_closed_too_late_is_named(file: Path) -> None:
    data = b'id,note\n1,a\n2,"b\n' + b"3,c\n" * 100 + b'4,d"\n'
    layout = layout_of(file, data, header=True)
    with pytest.raises(
        RecordTooLong, match=r"orders\.csv:3: the record at byte 12 is longer than 64 bytes.*quote"
    ) as caught:
        list(read_blocks(LocalFile(file), DOUBLED, layout.chunks[0], block_bytes=16, max_record_bytes=64))
    assert isinstance(caught.value, IngestError)
    assert not caught.value.retryable


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b""])
def test_the_limit_of_a_record_is_exact(file: Path, block: int, end: bytes) -> None:
    data = b"a\n" + b"b" * (20 - len(end)) + end
    part = layout_of(file, data).chunks[0]
    found = seen(list(read_blocks(LocalFile(file), DOUBLED, part, block_bytes=block, max_record_bytes=20)))
    assert [one.line for one in found] == [1, 2]
    with pytest.raises(RecordTooLong, match=":2: the record at byte 2 "):
        list(read_blocks(LocalFile(file), DOUBLED, part, block_bytes=block, max_record_bytes=19))


def test_blocks_keep_their_size(file: Path) -> None:
    data = b"12345\n" * 100 + b"x" * 500 + b"\n" + b"12345\n" * 100
    part = layout_of(file, data).chunks[0]
    blocks = list(read_blocks(LocalFile(file), DOUBLED, part, block_bytes=64))
    sizes = [len(block.data) for block in blocks]
    assert [501 <= size <= 1024 for size in sizes if size > 64] == [True]
    assert sum(sizes) == len(data)


def test_many_blank_lines_are_not_a_long_record(file: Path) -> None:
    data = b"a\n" + b"\n" * 500 + b"b\n"
    part = layout_of(file, data).chunks[0]
    found = seen(list(read_blocks(LocalFile(file), DOUBLED, part, block_bytes=16, max_record_bytes=20)))
    assert [(one.offset, one.line) for one in found] == [(0, 1), (502, 502)]


def test_a_file_that_shrank_is_named(file: Path) -> None:
    part = layout_of(file, b"a\nb\nc\n").chunks[0]
    file.write_bytes(b"a\nb\n")
    with pytest.raises(SourceChanged, match=r"orders\.csv ends at byte 4"):
        list(read_blocks(LocalFile(file), DOUBLED, part))
