"""The record that is kept: readable in its own encoding, exact when it is replayed, and cut as other readers cut it."""

from __future__ import annotations

import csv
import gzip
import io
import random
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.ingest.csv.kept_record import RAW_LIMIT, bytes_of, keep
from include.ingest.csv.text_form import TextForm
from include.ingest.errors import CorrectionRefused, ReplayRefused
from include.ingest.plan import Order
from include.ingest.replay.corrections import correct
from include.ingest.replay.fields import joined, split
from include.ingest.replay.replay_run import replay
from include.ingest.run import run
from tests.ingest.loading import DAY, ITEMS, counts, ingest, make_dataset, rows
from tests.ingest.replay.rejecting import WHO, rejects, replayed

Warehouse = psycopg.Connection[Any]
RELAXED = ITEMS.replace(", min: 0", "")


def encoded(text: str, encoding: str, extra: str = "") -> str:
    return text.replace("reject_limit", f"csv: {{encoding: {encoding}{extra}}}\nreject_limit")


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("latin-1", "Bäckerei"), ("cp1252", "Bäckerei „Süd“ 5 €"), ("koi8-r", "Пекарня"), ("euc_jp", "パン屋"),
        ("euc_kr", "빵집"), ("gb2312", "面包店"), ("utf-8", "Bäckerei 🥖"),
    ],
)  # fmt: skip
def test_a_record_is_readable_and_replayed_exactly(
    warehouse: Warehouse, tmp_path: Path, encoding: str, word: str
) -> None:
    strict = make_dataset(tmp_path, encoded(ITEMS, encoding))
    relaxed = make_dataset(tmp_path, encoded(RELAXED, encoding))
    first = ingest(warehouse, strict, f'id,label,price\n1,"{word}, 1",-1\n2,{word},x\n'.encode(encoding), tmp_path)
    one, two = rejects(warehouse, first)
    assert (one.raw, two.raw) == (f'1,"{word}, 1",-1', f"2,{word},x")
    assert [one.raw[start:end] for start, end in one.marks] == ["-1"]
    assert two.fields == (("id", "2"), ("label", word), ("price", "x"))
    done = replayed(warehouse, relaxed, first, {3: {"label": word * 2, "price": "4"}})
    assert counts(done) == {"read": 2, "inserted": 2}
    assert rows(warehouse, "id, label, price") == [(1, f"{word}, 1", -1), (2, word * 2, 4)]


def test_bytes_that_are_no_text_are_kept_beside_it(warehouse: Warehouse, tmp_path: Path) -> None:
    """Also where the encoding of the dataset was what was wrong."""
    wrong = make_dataset(tmp_path)
    file = "id,label,price\n1,Bäckerei \\xe4,1\n2,nul\0,1\n".encode("latin-1")
    first = ingest(warehouse, wrong, file, tmp_path)
    one, two = rejects(warehouse, first)
    assert (one.raw, one.rule) == ("1,B\\xe4ckerei \\xe4,1", "encoding")
    assert two.raw == "2,nul\\x00,1"
    kept = warehouse.execute("SELECT record, whole FROM millrace.rejected_row ORDER BY id").fetchall()
    assert kept == [("1,Bäckerei \\xe4,1".encode("latin-1"), True), (b"2,nul\0,1", True)]
    done = replayed(warehouse, make_dataset(tmp_path, encoded(ITEMS, "latin-1")), first)
    assert counts(done) == {"read": 2, "inserted": 1, "rejected": 1}
    assert rows(warehouse, "label") == [("Bäckerei \\xe4",)]


def test_a_correction_is_a_record_of_the_encoding(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, encoded(ITEMS, "cp1252"))
    first = ingest(warehouse, dataset, b"id,label,price\n1,a\x81,x\n2,b\n", tmp_path)
    odd, short = rejects(warehouse, first)

    def refused(row: int, **what: Any) -> str:
        with pytest.raises(CorrectionRefused) as caught:
            correct(warehouse, dataset, row, who=WHO, **what)
        return str(caught.value)

    assert "holds '😀', which cp1252 does not have" in refused(odd.id, raw="1,😀,2")
    assert "it holds a line end outside quotes" in refused(odd.id, raw="1,a,2\n2,b,2")
    assert "it holds a line end outside quotes" in refused(odd.id, raw='1,"a,2')
    assert "is empty, which is no record" in refused(odd.id, raw="")
    assert "stands for bytes of the record that are no cp1252" in refused(odd.id, raw="1,a\\x81,2")
    assert "has no column weight; it has id, label, price" in refused(odd.id, fields={"weight": "1"})
    assert "2 fields instead of 3" in refused(short.id, fields={"price": "1"})
    assert "give the columns to change" in refused(odd.id)
    with pytest.raises(CorrectionRefused, match="is of dataset items, not of others"):
        correct(warehouse, dataset.model_copy(update={"name": "others"}), odd.id, who=WHO, raw="1,a,1")
    assert "there is no rejected row 999" in refused(999, raw="1,a,1")
    assert correct(warehouse, dataset, odd.id, who=WHO, fields={"price": "3", "label": "ä, ß"}) == '1,"ä, ß",3'
    assert correct(warehouse, dataset, short.id, who=WHO, raw='2,"two\nlines",4') == '2,"two\nlines",4'
    assert correct(warehouse, dataset, odd.id, who=WHO, fields={"label": None}) == "1,,3"
    assert rejects(warehouse, first)[0].raw == "1,a\\x81,x", "what came stays"
    assert counts(replay(warehouse, dataset, UUID(first.run_id), who=WHO)) == {"read": 2, "inserted": 2}
    assert rows(warehouse) == [(1, None, 3), (2, "two\nlines", 4)]
    assert "is replayed: only an open one can be corrected" in refused(odd.id, fields={"price": "4"})


def test_other_bytes_of_a_corrected_record_stay(warehouse: Warehouse, tmp_path: Path) -> None:
    """In a column that no dataset names, where bytes that are no text do no harm."""
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, b"id,label,price,note\n1,a,x,\xe4\n", tmp_path)
    assert correct(warehouse, dataset, rejects(warehouse, first)[0].id, who=WHO, fields={"price": "2"}) == "1,a,2,\\xe4"
    assert warehouse.execute("SELECT corrected_record FROM millrace.rejected_row").fetchone() == (b"1,a,2,\xe4",)
    assert counts(replay(warehouse, dataset, UUID(first.run_id), who=WHO)) == {"read": 1, "inserted": 1}


@pytest.mark.parametrize("packed", [False, True])
def test_a_record_that_was_cut_off_comes_from_its_file(warehouse: Warehouse, tmp_path: Path, packed: bool) -> None:
    dataset, relaxed = make_dataset(tmp_path), make_dataset(tmp_path, RELAXED)
    long = "z" * (RAW_LIMIT + 10)
    text = f'id,label,price\n1,a,1\n2,"{long}\n",-1\n3,b,-3\n'.encode()
    file = tmp_path / ("items.csv.gz" if packed else "items.csv")
    file.write_bytes(gzip.compress(text) if packed else text)
    first = run(warehouse, dataset, Order(uuid4(), file, DAY))
    cut, whole = rejects(warehouse, first)
    assert (len(cut.raw), cut.whole, whole.whole) == (RAW_LIMIT, False, True)
    before = file.read_bytes()
    file.unlink()
    left = replayed(warehouse, relaxed, first)
    assert counts(left) == {"read": 1, "inserted": 1}
    assert left.reason == (
        "1 rows stay open: only their beginning is kept, and their file is gone or was changed since"
    )
    with pytest.raises(ReplayRefused, match="of 1 rejected rows only the beginning is kept"):
        replayed(warehouse, relaxed, first)
    with pytest.raises(CorrectionRefused, match="give the whole record"):
        correct(warehouse, relaxed, cut.id, who=WHO, fields={"price": "1"})
    file.write_bytes(before)
    with pytest.raises(ReplayRefused, match="only the beginning is kept"):
        replayed(warehouse, relaxed, first)  # a copy is another file
    first = run(warehouse, dataset, Order(uuid4(), file, DAY, force=True))
    line = rejects(warehouse, first, "open")[0].line_number
    assert counts(replayed(warehouse, dataset, first, {line: {"price": "-7"}}, rule="min"))["rejected"] == 2
    again = warehouse.execute("SELECT run_id FROM millrace.ingest_run WHERE replay_of = %s", [first.run_id]).fetchone()
    assert again is not None
    file.unlink()
    last = replay(warehouse, relaxed, again[0], who=WHO)
    assert counts(last)["read"] == 2
    assert rows(warehouse, "id, length(label), price")[1] == (2, len(long) + 1, -7), "a correction is kept whole"


def test_rows_of_before_are_read_as_far_as_they_are_certain(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RELAXED)
    file = tmp_path / "items.csv"
    file.write_bytes("id,label,price\n1,a,-1\n2,ß,-1\n3,\\xdf,-1\n".encode())
    first = run(warehouse, make_dataset(tmp_path), Order(uuid4(), file, DAY))
    warehouse.execute("UPDATE millrace.rejected_row SET whole = NULL")
    warehouse.execute("UPDATE millrace.ingest_run SET plan = plan - 'text_form'")
    assert [(row.whole, row.marks, row.fields) for row in rejects(warehouse, first)] == [(False, (), ())] * 3
    with pytest.raises(CorrectionRefused, match="did not keep which field is which"):
        correct(warehouse, dataset, rejects(warehouse, first)[0].id, who=WHO, fields={"price": "1"})
    assert counts(replayed(warehouse, dataset, first)) == {"read": 3, "inserted": 3}
    second = run(warehouse, make_dataset(tmp_path), Order(uuid4(), file, DAY, force=True))
    warehouse.execute("UPDATE millrace.ingest_run SET plan = plan - 'text_form'")
    file.unlink()
    with pytest.raises(ReplayRefused, match="neither the ledger nor the file"):
        replayed(warehouse, dataset, second)
    assert rows(warehouse, "label") == [("\\xdf",), ("a",), ("ß",)]


def test_what_is_kept_gives_the_bytes_again() -> None:
    source = random.Random(3)
    letters = ["a", ",", '"', "\\", "\\xe4", "ä", "\n", "\r", "\0"]
    for encoding in ("utf-8", "latin-1", "cp1252", "euc_jp"):
        for _ in range(500):
            text = "".join(source.choices(letters, k=6))
            record = text.encode(encoding, "replace") + bytes(source.choices(range(256), k=2))
            kept = keep(record + source.choice([b"\n", b"\r\n"]), encoding)
            found = kept.record if kept.record is not None else bytes_of(kept.raw, encoding)
            assert found == record.removesuffix(b"\r") or found == record
            assert "\0" not in kept.raw
            kept.raw.encode()


def test_a_line_end_behind_an_escape_is_part_of_the_record(warehouse: Warehouse, tmp_path: Path) -> None:
    extra = ", quote: null, escape: '\\'"
    dataset = make_dataset(tmp_path, encoded(RELAXED.replace("  label:", "  last:"), "utf-8", extra))
    strict = make_dataset(tmp_path, encoded(ITEMS.replace("  label:", "  last:"), "utf-8", extra))
    first = ingest(warehouse, strict, "id,price,last\n1,-1,a\\\n\n2,-1,b\\\\\n3,-1,c\\\r\n", tmp_path)
    assert counts(replayed(warehouse, dataset, first)) == {"read": 3, "inserted": 3}
    assert rows(warehouse, "id, last", "items") == [(1, "a\n"), (2, "b\\"), (3, "c\r")]


FORMS = [
    TextForm("utf-8", ",", '"', None, None, ()), TextForm("utf-8", ";", "'", "\\", None, ()),
    TextForm("utf-8", "\t", None, "\\", None, ()), TextForm("utf-8", "|", None, None, None, ()),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=range(4))
def test_fields_are_cut_as_pythons_reader_cuts_them(form: TextForm) -> None:
    source = random.Random(7)
    options: dict[str, Any] = {
        "delimiter": form.delimiter, "quotechar": form.quote, "escapechar": form.escape,
        "quoting": csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE, "doublequote": form.escape is None,
    }  # fmt: skip
    letters = ["a", " ", "ä", form.delimiter, form.quote or '"', form.escape or "\\", "\n", "\r"]
    for _ in range(3_000):
        text = "".join(source.choices(letters, k=source.randint(1, 8)))
        found = split(text, form)
        if not found.ended:
            continue
        records = list(csv.reader(io.StringIO(text, newline=""), **options))
        assert records == [[field.value for field in found.fields]], repr(text)
        assert [text[field.start : field.end] for field in found.fields] == _pieces(text, found.fields)
    for _ in range(3_000):
        values = ["".join(source.choices(letters, k=source.randint(0, 4))) for _ in range(source.randint(1, 3))]
        try:
            text = joined(values, form)
        except CorrectionRefused:
            assert form.quote is None
            continue
        assert list(csv.reader(io.StringIO(text, newline=""), **options)) == [values], repr(text)
        assert split(text, form).ended


def _pieces(text: str, fields: list[Any]) -> list[str]:
    """The fields' texts, which with one delimiter between them are the whole."""
    assert fields[0].start == 0
    assert fields[-1].end == len(text)
    assert all(one.end + 1 == two.start for one, two in pairwise(fields))
    return [text[field.start : field.end] for field in fields]
