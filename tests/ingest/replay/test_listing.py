"""Pages, counts and the download of rejected rows; who may read them and who may write."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from include.ingest.errors import IngestError
from include.ingest.ledger import Account
from include.ingest.replay.corrections import correct, dismiss
from include.ingest.replay.download import EXTRA, as_csv
from include.ingest.replay.listing import RejectedRow, RuleCount, count_by_rule, one, rejected
from include.ingest.replay.replay_run import replay
from include.warehouse import roles
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset
from tests.ingest.replay.rejecting import WHO, rejects

Warehouse = psycopg.Connection[Any]
BAD = HEADER + "".join(f"{number},a,{'x' if number % 3 else -1}\n" for number in range(10)) + "10,b\n"


@pytest.fixture
def runs(warehouse: Warehouse, tmp_path: Path) -> list[Account]:
    """Three runs of two datasets with eleven rejected rows each, of which some are dismissed."""
    others = make_dataset(
        tmp_path, ITEMS.replace("name: items", "name: others").replace("public.items", "public.others")
    )
    items = make_dataset(tmp_path)
    found = [
        ingest(warehouse, items, BAD, tmp_path),
        ingest(warehouse, others, BAD, tmp_path),
        ingest(warehouse, items, BAD + "11,c,1\n", tmp_path, version=DAY + timedelta(days=1)),
    ]
    dismiss(warehouse, [row.id for row in rejects(warehouse, found[0])][:4], who=WHO, why="tests")
    return found


def pages(connection: Warehouse, limit: int, **chosen: Any) -> Iterator[list[RejectedRow]]:
    after = None
    while page := rejected(connection, after=after, limit=limit, **chosen):
        yield page
        after = page[-1].id


def expected(connection: Warehouse, condition: str, values: list[Any]) -> list[int]:
    """What PostgreSQL says, in the order of pages."""
    found = connection.execute(
        "SELECT j.id FROM millrace.rejected_row j JOIN millrace.ingest_run r USING (run_id)"
        f" WHERE {condition} ORDER BY r.started_at DESC, j.id",
        values,
    )
    return [number for (number,) in found]


@pytest.mark.parametrize(
    ("chosen", "condition", "values"),
    [
        ({}, "true", []),
        ({"dataset": "items"}, "r.dataset = %s", ["items"]),
        ({"rule": "min"}, "j.rule = %s", ["min"]),
        ({"state": "open"}, "j.state = %s", ["open"]),
        ({"dataset": "items", "rule": "type", "state": "dismissed"}, "r.dataset = 'items' AND j.rule = 'type' AND"
         " j.state = 'dismissed'", []),
        ({"state": "replayed"}, "false", []),
        ({"dataset": "nobody"}, "false", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_hold_each_row_once(
    warehouse: Warehouse, runs: list[Account], chosen: dict[str, Any], condition: str, values: list[Any], limit: int
) -> None:
    found = list(pages(warehouse, limit, **chosen))
    assert [row.id for page in found for row in page] == expected(warehouse, condition, values)
    assert all(len(page) <= limit for page in found)


def test_a_page_of_one_run(warehouse: Warehouse, runs: list[Account]) -> None:
    (page,) = pages(warehouse, 100, run_id=UUID(runs[1].run_id))
    assert [row.line_number for row in page] == list(range(2, 13))
    assert {row.dataset for row in page} == {"others"}
    assert one(warehouse, page[3].id) == page[3]
    assert one(warehouse, 99_999) is None
    assert page[-1].marks == (), "the whole record is at fault"
    with pytest.raises(IngestError, match="rejected row 99999 is gone"):
        rejected(warehouse, after=99_999)
    with pytest.raises(IngestError, match="shut is no state of a rejected row: open, replayed, dismissed"):
        rejected(warehouse, state="shut")


def test_a_page_reads_no_more_than_it_shows(warehouse: Warehouse, runs: list[Account]) -> None:
    """Also where one run has nearly all rows, and none of those that are asked for."""
    warehouse.execute(
        "INSERT INTO millrace.rejected_row (run_id, file, line_number, byte_offset, rule, reason, raw, chunk, whole)"
        " SELECT %s, 'f', n, n, 'many', '', 'a,b,c', 0, true FROM generate_series(1, 60000) n",
        [runs[2].run_id],
    )
    warehouse.execute("ANALYZE millrace.rejected_row")
    choices: list[dict[str, Any]] = [
        {}, {"rule": "many"}, {"rule": "min"}, {"state": "dismissed"}, {"dataset": "others"},
    ]  # fmt: skip
    for chosen in choices:
        warehouse.execute("SELECT pg_stat_force_next_flush()")
        before = _read(warehouse)
        rejected(warehouse, **chosen)
        assert _read(warehouse) - before < 1_000, f"{chosen}: 100 rows of each run and state at the most"


def _read(connection: Warehouse) -> int:
    connection.execute("SELECT pg_stat_force_next_flush()")
    found = connection.execute(
        "SELECT seq_tup_read + idx_tup_fetch + (SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE relid ="
        " 'millrace.rejected_row'::regclass) FROM pg_stat_all_tables WHERE relid = 'millrace.rejected_row'::regclass"
    ).fetchone()
    assert found is not None
    return int(found[0])


def test_counts(warehouse: Warehouse, runs: list[Account]) -> None:
    assert count_by_rule(warehouse, run_id=UUID(runs[0].run_id)) == [
        RuleCount("type", 4, 0, 2), RuleCount("min", 2, 0, 2), RuleCount("fields", 1, 0, 0),
    ]  # fmt: skip
    assert sum(rule.open for rule in count_by_rule(warehouse, dataset="items")) == 18
    assert sum(rule.open + rule.dismissed for rule in count_by_rule(warehouse)) == 33


@pytest.mark.parametrize("csv_form", ["{encoding: latin-1, delimiter: ';'}", "{quote: null}", "{}"])
def test_the_download_is_a_file_of_the_dialect(warehouse: Warehouse, tmp_path: Path, csv_form: str) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("reject_limit", f"csv: {csv_form}\nreject_limit"))
    form = dataset.csv
    text = "id,label,price\n1,Bär,x\n2,Ä,-1\n3,c,1\n4,d\n".replace(",", form.delimiter)
    first = ingest(
        warehouse, dataset, text.encode(form.encoding) + b"5" + form.delimiter.encode() + b"\xff\0", tmp_path
    )
    ids = [row.id for row in rejects(warehouse, first)]
    correct(warehouse, dataset, ids[0], who=WHO, fields={"price": "7"})
    data = b"".join(as_csv(warehouse, dataset, run_id=UUID(first.run_id)))
    lines = data.decode(form.encoding, "surrogateescape").splitlines()
    assert lines[0].split(form.delimiter) == [*EXTRA, "id", "label", "price"]
    records = [line.split(form.delimiter) for line in lines[1:]]
    if form.quote:
        reader = csv.reader(io.StringIO("\n".join(lines[1:])), delimiter=form.delimiter, quotechar=form.quote)
        records = list(reader)
    assert [record[0] for record in records] == [str(number) for number in ids]
    assert [record[len(EXTRA) :] for record in records[:3]] == [["1", "Bär", "7"], ["2", "Ä", "-1"], ["4", "d"]]
    assert records[1][4:8] == ["3", "price", "-1", "min"]
    assert data.endswith(b"5" + form.delimiter.encode() + b"\xff\0\n"), "bytes that are no text, too"
    some = b"".join(as_csv(warehouse, dataset, rule="min", state="open"))
    assert some.count(b"\n") == 2


def test_pages_may_read_and_not_write(postgres: PostgresServer, warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, BAD, tmp_path)
    row = rejects(warehouse, first)[0]
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        roles.ensure_role(superuser, "replay_pages", "secret")
    roles.let_read(warehouse, "replay_pages")
    with psycopg.connect(postgres.dsn(warehouse.info.dbname, "replay_pages", "secret"), autocommit=True) as reader:
        assert len(rejected(reader)) == 11
        assert count_by_rule(reader)
        assert b"".join(as_csv(reader, dataset)).count(b"\n") == 12
        for act in (
            lambda: dismiss(reader, [row.id], who="x", why=""),
            lambda: correct(reader, dataset, row.id, who="x", raw="1,a,1"),
            lambda: replay(reader, dataset, UUID(first.run_id), who="x"),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                act()
    assert {one.state for one in rejects(warehouse, first)} == {"open"}


def test_what_a_page_imports_is_light() -> None:
    """The server of pages has no use for the compiled scanner, nor for Arrow."""
    code = (
        "import sys\nimport include.ingest.replay.listing, include.ingest.replay.download\n"
        "sys.exit(' '.join({'numba', 'llvmlite', 'pyarrow', 'pandas', 'numpy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
