"""Files as they come: lines above the header, below the last record, between records; headers of several records."""

from __future__ import annotations

import gzip
import io
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
import pytest

from include.ingest.csv import preamble
from include.ingest.csv.preamble import start_of
from include.ingest.dataset.definition import fingerprint
from include.ingest.errors import DatasetError, HeaderMismatch, SourceDamaged
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.run import run
from include.ingest.source.local import LocalFile
from include.ingest.source.storage import Storage
from tests.ingest.loading import DAY, ITEMS, counts, known, make_dataset, rejected, rows
from tests.ingest.reading.packing import PACKINGS
from tests.ingest.reading.test_remote import Bucket, bucket  # noqa: F401  a fixture

ABOVE = b'Report of "May\r\nprinted 1.6., 5" paper\n\n'  # three lines, two quotes that would open
HEADER = b"id,label,price\n"
REMARK = b"# an \"odd remark, '\n"
TOTAL = b'Total,"3 rows",\n'


def items(folder: Path, form: str, **changes: Any) -> Any:
    return make_dataset(folder, f"{ITEMS}csv: {{{form}}}\n", **changes)


def ingest(
    connection: psycopg.Connection, folder: Path, form: str, path: str | Path | bytes, **changes: Any
) -> Account:
    if isinstance(path, bytes):
        (folder / f"{uuid4().hex}.csv").write_bytes(path)
        path = max(folder.glob("*.csv"), key=lambda file: file.stat().st_mtime_ns)
    version, storage = changes.pop("version", DAY), Storage(folder / "scratch")
    return run(connection, items(folder, form, **changes), Order(uuid4(), path, version, storage=storage))


def copied(connection: psycopg.Connection, data: bytes) -> list[tuple[Any, ...]]:
    """What COPY makes of a file with a header and records alone."""
    connection.execute("DROP TABLE IF EXISTS judged")
    connection.execute("CREATE TABLE judged (id bigint, label text, price numeric(8,2))")
    with connection.cursor() as cursor, cursor.copy("COPY judged FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(data)
    return rows(connection, table="judged")


def big(number: int) -> list[bytes]:
    """Records, every third one over two lines."""
    return [
        f'{at},"line\n#no ""remark {at}",{at}.5\n'.encode() if at % 3 else f"{at},plain,\n".encode()
        for at in range(number)
    ]


@pytest.mark.parametrize("chunk_bytes", [1, 300, 1 << 20])
def test_comments_preamble_and_footer_through_every_door(
    warehouse: psycopg.Connection, tmp_path: Path, chunk_bytes: int
) -> None:
    """COPY judges the file from which an independent few lines have taken what is no record."""
    lines = big(200)
    for at in range(0, 250, 7):
        lines.insert(at, REMARK)
    text = ABOVE + REMARK + HEADER + b"".join(lines) + b"#\n" + TOTAL + REMARK + b'Total,,"2"\n#"'
    account = ingest(
        warehouse, tmp_path, "skip_lines: 3, comment: '#', footer_lines: 2", text, chunk_bytes=chunk_bytes,
        block_bytes=256,
    )  # fmt: skip
    left = HEADER + b"".join(line for line in lines if line != REMARK)
    assert rows(warehouse) == copied(warehouse, left)
    assert counts(account) == {"read": 200, "inserted": 200}


def test_a_rejected_row_below_comments_has_its_own_line(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    text = ABOVE + HEADER + b'#"\n1,"a\nb",1\n# x\n\nx,bad,1\n#\n2,c,-1\nend,,\n'
    account = ingest(warehouse, tmp_path, "skip_lines: 3, comment: '#', footer_lines: 1", text)
    at = [text.splitlines().index(line) + 1 for line in (b"x,bad,1", b"2,c,-1")]
    assert [(line, column) for line, column, *_ in rejected(warehouse, account)] == [(at[0], "id"), (at[1], "price")]


@pytest.mark.parametrize("chunk_bytes", [1, 60, 1 << 20])
def test_each_of_many_files_has_its_own_preamble_and_footer(
    warehouse: psycopg.Connection, tmp_path: Path, chunk_bytes: int
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bodies = {"a": b"1,a,1\n2,a,2\n", "b": b"", "c": b'3,"c\n#",3\n1,c,1\n', "d": b"4,d,4"}
    for name, pack in zip(bodies, (bytes, gzip.compress, PACKINGS["zstd"], bytes), strict=True):
        above = b"".join(f'line {number} of "{name}\n'.encode() for number in range(len(name) + ord(name) % 3))
        end = b"" if bodies[name].endswith(b"\n") or not bodies[name] else b"\n"
        (folder / f"{name}.csv").write_bytes(pack(above + HEADER + bodies[name] + end + REMARK + b"9,total,9"))
    account = ingest(
        warehouse, tmp_path, "header: search, comment: '#', footer_lines: 1", folder, chunk_bytes=chunk_bytes
    )
    assert [row[:2] for row in rows(warehouse)] == [(1, "c"), (2, "a"), (3, "c\n#"), (4, "d")]
    assert counts(account) == {"read": 5, "inserted": 4, "superseded": 1}


def test_remote_files_are_read_the_same(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket  # noqa: F811
) -> None:  # fmt: skip
    lines = big(300)
    url = bucket.put("in/a.csv", ABOVE + HEADER + REMARK.join(lines) + TOTAL)
    account = run(
        warehouse,
        items(tmp_path, "header: search, comment: '#', footer_lines: 1", chunk_bytes=500),
        Order(uuid4(), url, DAY, storage=Storage(tmp_path / "scratch", bucket.connect)),
    )
    assert (account.read, account.inserted) == (300, 300)
    assert rows(warehouse) == copied(warehouse, HEADER + b"".join(lines))


def test_tomorrows_file_builds_on_todays(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    lines = [f"{number},label {number},1\n".encode() for number in range(400)]
    form = "skip_lines: 3, comment: '#', footer_lines: 1"
    ingest(warehouse, tmp_path, form, ABOVE + HEADER + b"".join(lines) + TOTAL)
    lines[7], lines[30] = b"7,new,1\n", REMARK + lines[30]
    later = ABOVE.replace(b"May", b"June, longer") + HEADER + b"".join(lines) + b"400,x,2\nTotal,,\n"
    account = ingest(warehouse, tmp_path, form, later, version=DAY + timedelta(days=1))
    assert counts(account) == {"read": 401, "inserted": 1, "updated": 1, "unchanged": 399}
    assert known(warehouse, account) == 399
    assert ingest(warehouse, tmp_path, form, later, version=DAY + timedelta(days=1)).status == "skipped"


def test_pandas_reads_the_same(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    text = ABOVE + HEADER + b"#1,no,1\n1,a,1\n# x\n2,b,2.5\nTotal,,3.5\n"
    ingest(warehouse, tmp_path, "skip_lines: 3, comment: '#', footer_lines: 1", text)
    frame = pd.read_csv(io.BytesIO(text), skiprows=3, comment="#", skipfooter=1, engine="python")
    assert rows(warehouse) == list(frame.itertuples(index=False, name=None))


def test_a_header_of_two_records(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    text = b'Sales,,"Sales"\nNo.,name,in\nid,,EUR\n7,b,2.5\n'
    sources = ITEMS.replace("id: {", "id: {source: Sales No. id, ").replace("label: {", "label: {source: name, ")
    dataset = make_dataset(
        tmp_path, sources.replace("price: {", "price: {source: Sales in EUR, ") + "csv: {header_lines: 3}\n"
    )
    file = tmp_path / "any.csv"
    file.write_bytes(text)
    run(warehouse, dataset, Order(uuid4(), file, DAY))
    assert rows(warehouse) == [(7, "b", 2.5)]
    frame = pd.read_csv(io.BytesIO(text), header=[0, 1, 2])
    assert [[part for part in name if not part.startswith("Unnamed")] for name in frame.columns] == [
        ["Sales", "No.", "id"], ["name"], ["Sales", "in", "EUR"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (b"", None), (b"\n", None), (b"a\n", None), (b"a\nb", (3, 2)), (b"a\nb\n", (4, 3)), (b"a\rb\rc", (4, 3)),
        (b"a\r\nb\r\n\n", (6, 3)), (b"\xef\xbb\xbf\n\n1", (5, 3)), (b'"\n"\n1', (4, 3)), (b"\r\n\r\n\r\n", (4, 3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 2, 3, 1 << 16])
def test_lines_are_skipped_whatever_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, start: tuple[int, int] | None, piece: int
) -> None:
    monkeypatch.setattr(preamble, "PIECE_BYTES", piece)
    file = tmp_path / "any.csv"
    file.write_bytes(text)
    with LocalFile(file).open() as opened:
        if start is None:
            held = len(text.splitlines())
            with pytest.raises(SourceDamaged, match=rf"any\.csv:{held}: the file has {held} lines, and the first 2"):
                start_of("any.csv", opened, 2)
        else:
            assert start_of("any.csv", opened, 2) == start


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEADER, 1), (ABOVE + HEADER, 4), (b'x "\n"y\n"\n' + HEADER, 4), (b"id,label\n\n#\n" + HEADER, 4),
        (b"\n" * 199 + HEADER, 200), (b'"note\n' + HEADER, 2), (b"price,id,x\nid,label,other\n" + HEADER, 3),
    ],
)  # fmt: skip
def test_a_header_is_found_where_it_stands(
    warehouse: psycopg.Connection, tmp_path: Path, text: bytes, line: int
) -> None:
    account = ingest(warehouse, tmp_path, "header: search", text + b"1,a,1\nx,b,1\n")
    assert rows(warehouse) == [(1, "a", 1)]
    assert [row[0] for row in rejected(warehouse, account)] == [line + 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"x\n" * 200 + HEADER, "label, price; it holds 1 field, none with the name of a column. No header within the"),
        (b"x" * (64 << 10) + b"\n" + HEADER, ".csv:1: the header lacks id, label, price; it holds 1 field, none"),
        (b"a,b\nid,price,x\nlabel\n1,2,3\n", ".csv:2: the header lacks label; it holds: id, price, x."),
        (b"", ".csv:1: the file is empty: it lacks the header"),
    ],
)  # fmt: skip
def test_a_header_that_is_not_found(warehouse: psycopg.Connection, tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(HeaderMismatch) as caught:
        ingest(warehouse, tmp_path, "header: search", text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("form", "text", "error", "said"),
    [
        ("footer_lines: 2", HEADER + b"1,total,\n", SourceDamaged, ":3: the file ends after 1 records of data, and"),
        ("footer_lines: 1", HEADER, SourceDamaged, ":2: the file ends after 0 records of data"),
        ("footer_lines: 1, header: false", b"", SourceDamaged, ":1: the file ends after 0 records of data"),
        ("skip_lines: 4", ABOVE, SourceDamaged, ":3: the file has 3 lines, and the first 4 are left out"),
        ("skip_lines: 3", ABOVE, HeaderMismatch, ":4: the file holds no record: it lacks the header"),
        ("header_lines: 2", HEADER, HeaderMismatch, ":1: the file holds 1 records, and the header alone has 2"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_a_part_is_refused(
    warehouse: psycopg.Connection, tmp_path: Path, form: str, text: bytes, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        ingest(warehouse, tmp_path, form, text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("comment: ','", "csv.comment: must differ from delimiter, quote and escape"),
        ("comment: '##'", "csv.comment: must be one printable ASCII character or a tab"),
        ("header: false, header_lines: 2", "csv.header_lines: makes no sense where `header` is false"),
        ("header: seek", "csv.header"),
        ("skip_lines: -1", "csv.skip_lines"),
    ],
)
def test_faults_of_the_form_are_named(tmp_path: Path, form: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        items(tmp_path, form)


def test_who_uses_none_of_it_need_not_load_again(tmp_path: Path) -> None:
    """The fingerprints are those of the version before."""
    dataset = items(tmp_path, "delimiter: ','")
    assert fingerprint(dataset) == "8de747f69e8ba82bd44be4af3140cc68"
    others = [items(tmp_path, form) for form in ("comment: '#'", "skip_lines: 1", "footer_lines: 1", "header: search")]
    others += [items(tmp_path, form) for form in ("header_lines: 2", "short_rows: fill")]
    assert len({fingerprint(one) for one in [dataset, *others]}) == 7
