"""Rejected records of files that are not as plain as records under one header: each is read by the header it had."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from include.ingest.errors import CorrectionRefused, HeaderMismatch
from include.ingest.replay.corrections import correct
from include.ingest.replay.download import as_csv
from include.ingest.replay.replay_run import replay
from tests.ingest.loading import DAY, ITEMS, counts, ingest, make_dataset, rows
from tests.ingest.replay.rejecting import WHO, rejects, replayed

Warehouse = psycopg.Connection[Any]
RELAXED = ITEMS.replace(", min: 0", "")
AS_THEY_COME = "csv: {skip_lines: 2, footer_lines: 1, comment: '#', header_lines: 2, short_rows: fill}\nreject_limit"
PREAMBLE = 'Report "of the day\nmade by hand\n'
TWO_LINES = "item,,unit\n# names go on below\nid,label,price\n"
NAMED = ITEMS.replace("id: {", "id: {source: item id, ").replace("price: {", "price: {source: unit price, ")


def as_they_come(text: str) -> str:
    return text.replace("reject_limit", AS_THEY_COME)


def test_lines_before_a_header_of_two_comments_and_a_footer(warehouse: Warehouse, tmp_path: Path) -> None:
    strict, relaxed = (make_dataset(tmp_path, as_they_come(text)) for text in (NAMED, NAMED.replace(", min: 0", "")))
    data = f'{PREAMBLE}{TWO_LINES}1,a,1\n# a comment, with a quote"\n2,b,-2\n3,c,x\n4,d,-4\n9,total,-5\n'
    first = ingest(warehouse, strict, data, tmp_path)
    assert counts(first) == {"read": 4, "inserted": 1, "rejected": 3}
    found = rejects(warehouse, first)
    assert [(row.line_number, row.raw) for row in found] == [(8, "2,b,-2"), (9, "3,c,x"), (10, "4,d,-4")]
    assert found[1].fields == (("id", "3"), ("label", "c"), ("price", "x"))
    assert [found[1].raw[start:end] for start, end in found[1].marks] == ["x"]
    last = found[-1].id
    assert (
        correct(warehouse, relaxed, last, who=WHO, fields={"label": "# no comment", "price": "4"}) == "4,# no comment,4"
    )
    done = replayed(warehouse, relaxed, first)
    assert counts(done) == {"read": 3, "inserted": 2, "rejected": 1}
    assert rows(warehouse) == [(1, "a", 1), (2, "b", -2), (4, "# no comment", 4)]
    (again,) = rejects(warehouse, done)
    assert (again.line_number, again.raw, again.earlier) == (9, "3,c,x", found[1].id)
    assert again.byte_offset == found[1].byte_offset == data.index("3,c,x")
    assert counts(replayed(warehouse, relaxed, done, {9: {"price": "3"}})) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "id, price")[2:] == [(3, 3), (4, 4)]


def test_the_download_has_a_header_of_one_line(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, as_they_come(NAMED))
    ingest(warehouse, dataset, f"{PREAMBLE}{TWO_LINES}1,a,x\n9,total,-5\n", tmp_path)
    header, row = b"".join(as_csv(warehouse, dataset)).decode().splitlines()
    assert header.startswith("rejected_id,")
    assert header.endswith(",item id,label,unit price")
    assert row.endswith(",1,a,x")


def test_a_corrected_record_that_begins_as_a_comment_does(warehouse: Warehouse, tmp_path: Path) -> None:
    text = ITEMS.replace(
        "  id: {type: bigint}\n  label: {type: text, nullable: true}", "  label: {type: text}"
    ).replace("key: [id]", "key: [label]")
    dataset = make_dataset(tmp_path, text.replace("reject_limit", "csv: {comment: '#'}\nreject_limit"))
    first = ingest(warehouse, dataset, "label,price\na,1\nb,x\n", tmp_path)
    done = replayed(warehouse, dataset, first, {3: {"label": "#2", "price": "2"}})
    assert counts(done) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "label, price") == [("#2", 2), ("a", 1)]


def test_short_records_are_filled_by_a_correction_too(warehouse: Warehouse, tmp_path: Path) -> None:
    text = ITEMS.replace("reject_limit", "csv: {short_rows: fill}\nreject_limit")
    strict, dataset = make_dataset(tmp_path), make_dataset(tmp_path, text)
    first = ingest(warehouse, strict, "id,label,price\n1\n2\n3\n", tmp_path)
    one, two, _ = rejects(warehouse, first)
    with pytest.raises(CorrectionRefused, match="1 fields instead of 3"):
        correct(warehouse, strict, one.id, who=WHO, fields={"price": "1"})
    assert correct(warehouse, dataset, one.id, who=WHO, fields={"price": "1"}) == "1,,1"
    assert correct(warehouse, dataset, two.id, who=WHO, fields={"id": "5"}) == "5"
    assert counts(replay(warehouse, dataset, UUID(first.run_id), who=WHO)) == {"read": 3, "inserted": 3}
    assert rows(warehouse) == [(1, None, 1), (3, None, None), (5, None, None)]


def test_an_added_and_a_renamed_column(warehouse: Warehouse, tmp_path: Path) -> None:
    """The file of the next day has its columns elsewhere, and others; it is newer, and keeps its rows."""
    text = ITEMS.replace("price: {", "price: {source: [price, cost], ") + "unknown_columns: add\n"
    strict, relaxed = make_dataset(tmp_path, text), make_dataset(tmp_path, text.replace(", min: 0", ""))
    first = ingest(warehouse, strict, "Net Weight,cost,id,label\n10,1,1,a\n20,-2,2,b\n30,x,3,c\n40,-4,4,d\n", tmp_path)
    later = ingest(
        warehouse, strict, "id,colour,label,price\n4,red,dd,5\n", tmp_path, version=DAY + timedelta(days=1)
    )  # fmt: skip
    assert (counts(first)["rejected"], counts(later)) == (3, {"read": 1, "inserted": 1})
    assert ("net_weight", "20") in rejects(warehouse, first)[0].fields
    done = replayed(warehouse, relaxed, first, {4: {"price": "3", "net_weight": "33"}})
    assert counts(done) == {"read": 3, "inserted": 2, "superseded": 1}
    assert rows(warehouse, "id, label, price, net_weight, colour") == [
        (1, "a", 1, "10", None), (2, "b", -2, "20", None), (3, "c", 3, "33", None), (4, "dd", 5, None, "red"),
    ]  # fmt: skip
    third = ingest(
        warehouse, strict, "id,colour,label,price\n5,blue,e,6\n", tmp_path, version=DAY + timedelta(days=2)
    )  # fmt: skip
    compared = "SELECT columns_come, columns_gone FROM millrace.ingest_run WHERE run_id = %s"
    assert warehouse.execute(compared, [third.run_id]).fetchone() == ([], []), "with a file, not with a replay"


def test_a_column_that_only_rejected_rows_would_have_brought(warehouse: Warehouse, tmp_path: Path) -> None:
    """The policy is the dataset's as it is now: what was ignored then is added by the replay."""
    text = RELAXED + "unknown_columns: add\n"
    first = ingest(warehouse, make_dataset(tmp_path), "id,label,price,note\n1,a,1,n\n2,b,-2,m\n", tmp_path)
    assert counts(replayed(warehouse, make_dataset(tmp_path, text), first)) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "id, price, note") == [(1, 1, None), (2, -2, "m")]
    added = warehouse.execute("SELECT added_columns FROM millrace.ingest_run WHERE replay_of IS NOT NULL").fetchone()
    assert added == (["note"],)


def test_missing_and_rescued_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    text = ITEMS + "missing_columns: null\nunknown_columns: rescue\nrescue_column: rest\n"
    strict, relaxed = make_dataset(tmp_path, text), make_dataset(tmp_path, text.replace(", min: 0", ""))
    first = ingest(warehouse, strict, "price,note,id\n1,n,1\n-2,m,2\nx,k,3\n", tmp_path)
    with pytest.raises(CorrectionRefused, match="has no column label; it has id, price"):
        correct(warehouse, strict, rejects(warehouse, first)[0].id, who=WHO, fields={"label": "b"})
    done = replayed(warehouse, relaxed, first, {4: {"price": "3"}})
    assert counts(done) == {"read": 2, "inserted": 2}
    assert rows(warehouse, "id, label, price, rest->>'note'") == [
        (1, None, 1, "n"), (2, None, -2, "m"), (3, None, 3, "k"),
    ]  # fmt: skip


def test_a_column_that_the_file_lacked(warehouse: Warehouse, tmp_path: Path) -> None:
    first = ingest(warehouse, make_dataset(tmp_path), "id,label,price\n1,a,1\n2,b,-2\n", tmp_path)
    more = RELAXED.replace("  label:", "  note: {type: text}\n  label:")
    with pytest.raises(HeaderMismatch, match=r"\(its header as it was\):1: the header lacks note"):
        replayed(warehouse, make_dataset(tmp_path, more), first)
