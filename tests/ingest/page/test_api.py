"""The ingest's HTTP interface with a real PostgreSQL; the login is Airflow's, tested with a real Airflow."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse
from fastapi import HTTPException
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from include.ingest import api, pages
from include.warehouse.roles import ensure_role, let_read
from stack.postgres import PostgresServer
from tests.ingest.loading import HEADER, ingest, make_dataset
from tests.ingest.page import story
from tests.ingest.page.serving import application, guards
from tests.served import served

Get = Callable[..., httpx.Response]
UNKNOWN = UUID(int=99)
ROUTES = [
    "datasets", "dataset-names", "datasets/orders", "runs", f"runs/{story.REJECTING}", f"runs/{story.LOADING}/chunks",
    "runs/of-airflow?dag_id=ingest_orders&dag_run_id=scheduled__2026-11-29T00:00:00%2B00:00",
    "rejected", f"rejected?run_id={story.REJECTING}", "rejected/rules", "rejected.csv?dataset=orders",
]  # fmt: skip


@contextmanager
def asking(dsn: str, folder: Path, allowed: api.Guards) -> Iterator[Get]:
    """GET a path of the interface."""
    with (
        served(application(dsn, folder, allowed)) as url,
        httpx.Client(base_url=f"{url}/millrace/ingest/", timeout=30) as client,
    ):
        yield lambda path, **query: client.get(path, params=query or None)


@pytest.fixture
def told(warehouse: Connection[Any], tmp_path: Path) -> Path:
    """The folder of the dataset files of a warehouse that tells the story."""
    story.write_files(tmp_path)
    story.tell(warehouse)
    return tmp_path


@pytest.fixture
def get(dsn: str, told: Path) -> Iterator[Get]:
    """GET a path, as somebody who may see everything."""
    with asking(dsn, told, guards()) as get:
        yield get


def paged(get: Get, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    for _ in range(1_000):
        page = get(path, **query, **after).json()
        found += page[name]
        if page["next"] is None:
            return found
        assert page[name], "no page is empty but the last one"
        after = {"after": page["next"]}
    raise AssertionError("the pages do not end")


def test_datasets_that_need_a_person_come_first(get: Get) -> None:
    found = get("datasets").json()
    levels = {one["name"]: [notice["level"] for notice in one["notices"]] for one in found["datasets"]}
    assert list(levels) == ["coupons", "customers", "prices", "stock", "clicks", "orders", "returns"]
    assert (levels["coupons"], levels["customers"], levels["prices"], levels["stock"]) == (
        ["bad"], ["bad"], ["warn"], ["warn"],
    )  # fmt: skip
    orders = next(one for one in found["datasets"] if one["name"] == "orders")
    assert orders["last"]["run_id"] == str(story.REJECTING)
    assert orders["last"]["rejected"] == 300
    assert 28 <= len(orders["days"]) <= 31
    prices = next(one for one in found["datasets"] if one["name"] == "prices")
    assert prices["waiting"]["file"].endswith(".csv")
    assert prices["waiting"]["seconds"] == 6 * 3600


def test_a_dataset_that_the_ledger_alone_knows(get: Get, told: Path) -> None:
    (told / "stock.yaml").unlink()
    found = get("datasets/stock").json()
    assert found["notices"][-1] == {"level": "note", "text": "there is no dataset file any more", "run_id": None}
    assert (found["target"], found["columns"], found["file"]) == ("shop.stock", [], None)


def test_every_list_pages(get: Get) -> None:
    assert len(paged(get, "datasets", "datasets", limit=3)) == 7
    runs = paged(get, "runs", "runs", limit=400)
    assert len({one["run_id"] for one in runs}) == len(runs) == story.RUNS - 2 + 5
    assert [one["started_at"] for one in runs] == sorted((one["started_at"] for one in runs), reverse=True)
    assert len(paged(get, "runs", "runs", limit=100, dataset="orders")) == story.RUNS // 5 + 1
    assert [one["dataset"] for one in paged(get, "runs", "runs", limit=1, status="failed")] == ["customers"]
    assert {one["dataset"] for one in paged(get, "runs", "runs", limit=1, rejected=True)} == {"orders", "customers"}
    chunks = paged(get, f"runs/{story.LOADING}/chunks", "chunks", limit=3)
    assert [one["chunk"] for one in chunks] == list(range(story.CHUNKS))


FILTERS: list[dict[str, str]] = [
    {}, {"dataset": "orders"}, {"run_id": str(story.REJECTING)}, {"rule": "type"}, {"rule": "type", "column": "amount"},
    {"column": ""}, {"dataset": "stock"}, {"rule": "none"},
]  # fmt: skip


def test_rejected_rows_are_those_of_the_table(get: Get, warehouse: Connection[Any]) -> None:
    tests = {"dataset": "r.dataset = %(dataset)s", "run_id": "run_id = %(run_id)s", "rule": "rule = %(rule)s",
             "column": "coalesce(column_name, '') = %(column)s"}  # fmt: skip
    for wanted in FILTERS:
        where = " AND ".join(["true", *(tests[name] for name in wanted)])
        query = (
            "SELECT run_id::text, byte_offset, raw FROM millrace.rejected_row JOIN millrace.ingest_run r USING (run_id)"
            f" WHERE {where} ORDER BY 1, 2"
        )
        expected = warehouse.execute(query, wanted).fetchall()
        rows = paged(get, "rejected", "rows", limit=37, **wanted)
        shown = [(one["run_id"], one["byte_offset"], one["before"] + one["bad"] + one["after"]) for one in rows]
        assert sorted(shown) == expected, wanted
        lines = csv.DictReader(io.StringIO(get("rejected.csv", **wanted).text, newline=""))
        written = [(line["run_id"], int(line["byte_offset"]), line["raw"]) for line in lines]
        assert sorted(written) == expected, wanted


def test_rules_are_counted(get: Get, warehouse: Connection[Any]) -> None:
    expected = warehouse.execute(
        "SELECT rule, column_name, count(*) FROM millrace.rejected_row GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    ).fetchall()
    found = get("rejected/rules").json()["rules"]
    assert [(one["rule"], one["column_name"], one["rows"]) for one in found] == expected
    [one] = get("rejected/rules", run_id=story.FAILED).json()["rules"]
    assert (one["rule"], one["column_name"], one["rows"]) == ("pattern", "email", 20)


def test_a_run_that_loads(get: Get, dsn: str) -> None:
    with story.loading(dsn, 120_000_000, 60_000_000):
        found = get(f"runs/{story.LOADING}").json()["progress"]
        chunks = get(f"runs/{story.LOADING}/chunks").json()["chunks"]
    assert (found["phase"], found["chunks_loaded"], found["chunks_loading"]) == ("loading", 3, 2)
    assert found["bytes_loaded"] == 3 * story.CHUNK + 180_000_000
    left = (story.CHUNK * story.CHUNKS - found["bytes_loaded"]) / found["bytes_per_second"]
    assert found["seconds_left"] == pytest.approx(left)
    assert [one["loaded_bytes"] for one in chunks] == [*[story.CHUNK] * 3, 120_000_000, 60_000_000, None, None, None]


def test_what_changed_from_the_run_before(get: Get) -> None:
    found = get(f"runs/{story.REJECTING}").json()["changes"]
    assert (found["columns_gained"], found["columns_lost"], found["dataset_changed"]) == (["utm_source"], [], True)
    figures = {one["name"]: (one["before"], one["now"]) for one in found["figures"]}
    assert figures["rejected"] == (0, 300)
    before = get(f"runs/{found['run_id']}").json()["run"]
    assert figures["read"] == (before["read"], 509_300)


def test_a_run_is_found_by_airflows_name(get: Get, warehouse: Connection[Any]) -> None:
    name = "ingest_orders/manual__2026-11-29T10:00:00+00:00"
    warehouse.execute("UPDATE millrace.ingest_run SET airflow_run = %s WHERE run_id = %s", [name, story.BY_HAND])
    dag, run = name.split("/")
    assert get("runs/of-airflow", dag_id=dag, dag_run_id=run).json()["run_id"] == str(story.BY_HAND)


def test_a_real_run_and_the_sql_that_shows_it(dsn: str, warehouse: Connection[Any], tmp_path: Path) -> None:
    """The engine rejects the rows, and the page shows the records as the file has them."""
    dataset = make_dataset(tmp_path)
    run_id = uuid4()
    text = HEADER + '1,"a, b",1.50\nx,"1,50",2\n3,"1,50","1,50"\n4,-1,-1\n5,6\n'
    ingest(warehouse, dataset, text, tmp_path, run_id=run_id)
    with asking(dsn, tmp_path, guards()) as get:
        rows = get("rejected", run_id=run_id).json()["rows"]
        query = get("datasets/items").json()["query"]
        found = get(f"runs/{run_id}").json()
    assert [(one["line_number"], one["bad"]) for one in rows] == [(3, "x"), (4, '"1,50"'), (5, "-1"), (6, "")]
    assert rows[1]["before"] == '3,"1,50",', "the second of two equal values"
    assert [one["before"] + one["bad"] + one["after"] for one in rows] == text.splitlines()[2:]
    assert found["run"]["rejected"] == 4
    assert found["progress"]["bytes_loaded"] == len(text) - len(HEADER)
    assert [row[:2] for row in warehouse.execute(query).fetchall()] == [(1, "a, b")]


def test_a_long_record_is_cut(dsn: str, told: Path, warehouse: Connection[Any]) -> None:
    warehouse.execute(
        "UPDATE millrace.rejected_row SET raw = repeat('x', 100000) WHERE run_id = %s AND line_number = 2",
        [story.FAILED],
    )
    with asking(dsn, told, guards()) as get:
        row = get("rejected", run_id=story.FAILED, limit=1).json()["rows"][0]
        assert (row["cut"], len(row["before"] + row["bad"] + row["after"])) == (True, 4_000)
        assert "x" * 100_000 in get("rejected.csv", run_id=story.FAILED).text


def test_it_reads_with_the_least_rights(
    postgres: PostgresServer, dsn: str, told: Path, warehouse: Connection[Any]
) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        ensure_role(connection, "pages", "only-reads")
    let_read(warehouse, "pages")
    with asking(make_conninfo(dsn, user="pages", password="only-reads"), told, guards()) as get:
        assert {path: get(path).status_code for path in ROUTES} == dict.fromkeys(ROUTES, 200)


def test_who_may_not_see_a_dataset_sees_nothing_of_it(dsn: str, told: Path) -> None:
    with asking(dsn, told, guards(lambda name: name == "customers")) as get:
        assert [one["name"] for one in get("datasets").json()["datasets"]] == ["customers"]
        assert get("dataset-names").json() == {"names": ["customers"]}
        assert {one["dataset"] for one in paged(get, "runs", "runs", limit=500)} == {"customers"}
        assert {one["dataset"] for one in paged(get, "rejected", "rows")} == {"customers"}
        assert get("rejected", run_id=story.REJECTING).json() == {"rows": [], "next": None}
        assert get("rejected/rules", run_id=story.REJECTING).json() == {"rules": []}
        assert "orders" not in get("rejected.csv").text
        for path in (
            "datasets/orders", f"runs/{story.REJECTING}", f"runs/{story.LOADING}/chunks", "runs?dataset=orders",
            "rejected?dataset=orders", "rejected/rules?dataset=orders", "rejected.csv?dataset=orders",
        ):  # fmt: skip
            answer = get(path)
            assert answer.status_code == 403, path
            assert "you may not see the runs of ingest_" in answer.json()["detail"]


@pytest.mark.parametrize("status", [401, 403])
def test_every_route_is_guarded(dsn: str, told: Path, status: int) -> None:
    def refuse() -> None:
        raise HTTPException(status)

    with asking(dsn, told, guards(enter=refuse)) as get:
        every = [*ROUTES, *pages.FILES, "base.css", "theme.js", "page.js"]
        assert {path: get(path).status_code for path in every} == dict.fromkeys(every, status)


REFUSED = [
    (f"runs/{UNKNOWN}", 404, "the ledger knows no run"),
    (f"runs/{UNKNOWN}/chunks", 404, "the ledger knows no run"),
    ("runs/of-airflow?dag_id=other&dag_run_id=x", 404, "the ledger knows no run x of other"),
    ("datasets/unknown", 404, "there is no dataset unknown"),
    ("datasets/..%2Fpasswd", 404, ""),
    ("datasets/Orders;", 422, ""),
    ("runs/nothing", 422, ""),
    ("runs?after=nonsense", 422, "take it from `next`"),
    ("runs?after=2026-01-01T00:00:00~x", 422, "take it from `next`"),
    ("runs?status=lost", 422, ""),
    ("runs?limit=0", 422, ""),
    ("rejected?after=1~2~3", 422, "take it from `next`"),
    ("rejected?limit=100000", 422, ""),
    ("rejected?rule=%00", 422, ""),
    ("passwd", 404, "there is no page"),
]


def test_what_is_refused(get: Get) -> None:
    for path, status, reason in REFUSED:
        answer = get(path)
        assert answer.status_code == status, path
        assert reason in str(answer.json()["detail"]), path


def test_a_warehouse_that_is_away_is_told(told: Path) -> None:
    with asking("postgresql://nobody@127.0.0.1:1/none", told, guards()) as get:
        for path in ("datasets", "rejected.csv?dataset=orders"):
            answer = get(path)
            assert answer.status_code == 503
            assert "can't be reached" in answer.json()["detail"]


def test_the_files_of_the_page(get: Get) -> None:
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for name in pages.FILES:
        answer = get(name)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for used in re.findall(r'(?:from|href=|src=) ?"\.?/?((?:files-\w+/)?[\w.-]+\.(?:js|css))"', answer.text):
            assert get(used).status_code == 200, f"{name} uses {used}"


@pytest.mark.parametrize("name", ["ingest", "images", "memory"])
def test_the_page_stands_in_the_navigation_itself(name: str) -> None:
    """By Airflow's own reading of the plugin."""
    plugin = getattr(import_module(f"plugins.{name}_plugin"), f"{name.capitalize()}Plugin")
    first = ExternalViewResponse.model_validate(plugin.external_views[0])
    assert (first.nav_top_level, first.category, first.destination) == (True, None, "nav")
    for icon in (first.icon, first.icon_dark_mode):
        assert icon is not None
        folder = Path(__file__).parents[3] / "include" / name / "pages"
        assert (folder / icon.rpartition("/")[2]).is_file()


STATES: list[tuple[dict[str, str], str]] = [
    ({"state": "open"}, "state = 'open'"),
    ({"state": "corrected"}, "state = 'open' AND corrected IS NOT NULL"),
    ({"state": "replayed"}, "state = 'replayed'"),
    ({"state": "dismissed"}, "state = 'dismissed'"),
    ({"state": "corrected", "rule": "min", "column": "amount"}, "corrected IS NOT NULL AND column_name = 'amount'"),
    ({"state": "open", "rule": "fields", "column": ""}, "state = 'open' AND rule = 'fields'"),
]


def test_rows_are_listed_and_counted_by_state(get: Get, warehouse: Connection[Any]) -> None:
    """What a million of them takes stands in decision 20."""
    for change, rows in (
        ("corrected = raw, corrected_record = raw::bytea", "line_number > 800 AND rule = 'min'"),
        ("state = 'replayed', replay_run = run_id", "line_number < 100"),
        ("state = 'dismissed'", "line_number BETWEEN 100 AND 200"),
    ):
        warehouse.execute(f"UPDATE millrace.rejected_row SET {change} WHERE run_id = %s AND {rows}", [story.REJECTING])
    rules = get("rejected/rules").json()["rules"]
    for wanted, condition in STATES:
        expected = warehouse.execute(f"SELECT id FROM millrace.rejected_row WHERE {condition} ORDER BY id").fetchall()
        found = paged(get, "rejected", "rows", limit=7, **wanted)
        assert sorted(one["id"] for one in found) == [number for (number,) in expected]
        lines = csv.DictReader(io.StringIO(get("rejected.csv", **wanted).text, newline=""))
        assert len(list(lines)) == len(expected)
        if "rule" not in wanted:
            assert sum(one[wanted["state"]] for one in rules) == len(expected)
