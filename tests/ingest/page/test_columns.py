"""What the columns held, on the page and by the routes, in a real browser and against SQL over a copied file."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from psycopg import Connection

from tests.ingest.loading import DAY, ingest, make_dataset
from tests.ingest.page import story
from tests.ingest.page.conftest import Site
from tests.ingest.page.serving import application, guards
from tests.ingest.page.test_browser import opened
from tests.served import served

SALES = """
name: sales
source: x
target: public.sales
key: [id]
columns:
  id: {type: bigint}
  country: {type: text, nullable: true}
  note: {type: text, nullable: true}
reject_limit: {rows: null, ratio: null}
"""


def rows(number: int, countries: list[str], empty: float, seed: int) -> list[tuple[str, ...]]:
    """Records of sales."""
    random_ = random.Random(seed)
    return [(str(n), random_.choice(countries), "" if random_.random() < empty else f"note {n}") for n in range(number)]


def as_file(records: list[tuple[str, ...]]) -> str:
    """The same as CSV."""
    return "id,country,note\n" + "".join(",".join(record) + "\n" for record in records)


def by_sql(connection: Connection[Any], text: str) -> tuple[dict[str, int], float]:
    """Rows by country, and the share of empty notes, of a table that COPY filled."""
    connection.execute("DROP TABLE IF EXISTS truth")
    connection.execute("CREATE TABLE truth (id bigint, country text, note text)")
    with connection.cursor().copy("COPY truth FROM STDIN (FORMAT csv, HEADER true)") as copy:
        copy.write(text)
    found = connection.execute("SELECT country, count(*) FROM truth WHERE country IS NOT NULL GROUP BY 1").fetchall()
    share = connection.execute("SELECT avg((note IS NULL)::int)::float8 FROM truth").fetchone()
    assert share is not None
    return dict(found), share[0]


@pytest.mark.parametrize("number", [900, 40_000])
def test_new_and_lost_values_and_shares_that_moved(
    warehouse: Connection[Any], dsn: str, tmp_path: Path, number: int
) -> None:
    dataset = make_dataset(tmp_path, SALES)
    first = as_file(rows(number, ["DE", "AT", "OLD", ""], 0.10, 1))
    second = as_file(rows(number, ["DE", "AT", "XK", ""], 0.20, 2) + [(f"{10**9 + n}", "QQ", "") for n in range(2)])
    ingest(warehouse, dataset, first, tmp_path)
    account = ingest(warehouse, dataset, second, tmp_path, version=DAY + timedelta(days=1))
    with served(application(dsn, tmp_path, guards())) as url:
        found = httpx.get(f"{url}/millrace/ingest/runs/{account.run_id}", timeout=30).json()["changes"]["profile"]
        history = httpx.get(f"{url}/millrace/ingest/datasets/sales/profile", timeout=30).json()
    exact = number < 5_000
    near = 1e-9 if exact else 0.15
    (before, empty_before), (now, empty_now) = by_sql(warehouse, first), by_sql(warehouse, second)
    (country,) = found["values"]
    come, gone = ({one["value"]: one["rows"] for one in country[name]} for name in ("come", "gone"))
    assert country["column"] == "country"
    assert gone == {"OLD": pytest.approx(before["OLD"], rel=near)}
    # Two rows of 40,000 may be chance, and are not spoken of.
    assert come == {"XK": pytest.approx(now["XK"], rel=near)} | ({"QQ": 2} if exact else {})
    (moved,) = found["nulls"]
    assert moved["column"] == "note"
    tolerance = 1e-9 if exact else 0.02
    assert (moved["before"], moved["now"]) == (
        pytest.approx(empty_before, abs=tolerance), pytest.approx(empty_now, abs=tolerance),
    )  # fmt: skip
    assert (found["records"], found["records_before"]) == (number + 2, number)
    assert (found["sampled"] == number + 2) == exact
    assert [run["records"] for run in history["runs"]] == [number, number + 2]
    (note,) = (one for one in history["columns"] if one["name"] == "note")
    assert note["shares"] == [moved["before"], moved["now"]]


def test_two_samples_of_one_file_differ_in_nothing_that_is_told(
    warehouse: Connection[Any], dsn: str, tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path, SALES)
    records = rows(30_000, [f"C{n}" for n in range(40)], 0.10, 3)
    rare: list[tuple[str, ...]] = [(f"{10**9 + n}", f"R{n}", "") for n in range(9)]
    ingest(warehouse, dataset, as_file(records + rare), tmp_path)
    random.Random(4).shuffle(records)
    account = ingest(warehouse, dataset, as_file(rare + records), tmp_path, version=DAY + timedelta(days=1))
    with served(application(dsn, tmp_path, guards())) as url:
        found = httpx.get(f"{url}/millrace/ingest/runs/{account.run_id}", timeout=30).json()["changes"]["profile"]
    assert (found["values"], found["nulls"]) == ([], [])


def test_columns_are_paged(warehouse: Connection[Any], dsn: str, tmp_path: Path) -> None:
    ingest(warehouse, make_dataset(tmp_path, SALES), as_file(rows(10, ["DE"], 0, 1)), tmp_path)
    with served(application(dsn, tmp_path, guards())) as url:
        path = f"{url}/millrace/ingest/datasets/sales/profile"
        first = httpx.get(path, params={"limit": 2}, timeout=30).json()
        second = httpx.get(path, params={"limit": 2, "after": first["next"]}, timeout=30).json()
        unknown = httpx.get(f"{url}/millrace/ingest/datasets/never/profile", timeout=30).json()
    assert [one["name"] for one in first["columns"] + second["columns"]] == ["id", "country", "note"]
    assert (second["next"], unknown) == (None, {"runs": [], "columns": [], "next": None})


@pytest.mark.browser
def test_a_run_tells_what_its_columns_hold_otherwise(page: Page, site: Site) -> None:
    opened(page, site, f"runs/{story.REJECTING}")
    changed = page.get_by_role("region", name="What changed from the run before")
    expect(changed).to_contain_text("a random sample of 5,622 of 509,300 records of this file")
    came = changed.get_by_role("list", name="Values that came or went").get_by_role("listitem")
    expect(came).to_have_text(
        "status has the new value <b>held</b> (about 9,000 rows); no longer has the value returned (about 8,000 rows)."
    )
    expect(changed.get_by_role("table").last.get_by_role("row", name="email")).to_contain_text("11 %+8.9 points")


@pytest.mark.browser
def test_a_dataset_shows_its_columns_over_time(page: Page, site: Site) -> None:
    opened(page, site, "datasets/orders")
    table = page.get_by_role("region", name="Columns")
    expect(page.get_by_text("a random sample of 5,622 of the 509,300 records of its file")).to_be_visible()
    email = table.get_by_role("row", name="email")
    expect(email).to_contain_text("11 %")
    picture = email.get_by_role("img", name="Empty: between 2 % and 11 %, now 11 %")
    points = picture.locator("polyline").get_attribute("points")
    assert points is not None
    assert len(points.split()) == 30
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights.index(min(heights)) == 29, "the last run has the most"
    expect(table.get_by_role("row", name="amount")).to_contain_text("9421.55")
    status = table.get_by_role("row", name="status")
    expect(status).to_contain_text("allowed: new, paid, shipped")
    expect(status.get_by_text("<b>held</b>")).to_be_hidden()
    status.get_by_text("all 6").click()
    expect(status.get_by_text("<b>held</b>")).to_be_visible()
    expect(status.get_by_text("(empty text)")).to_be_visible()
    opened(page, site, "datasets/returns")
    expect(page.get_by_text("shown after the next run that loads a file")).to_be_visible()
