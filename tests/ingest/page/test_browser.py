"""The page Ingest in a real browser, as wide as a desk and a phone, in both themes, by mouse and by keyboard."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.ingest.page import story
from tests.ingest.page.conftest import Site, keep

pytestmark = pytest.mark.browser
WIDTHS = (1280, 390)
VIEWS = {
    "datasets": "", "runs": "runs", "loading": f"runs/{story.LOADING}", "run": f"runs/{story.REJECTING}",
    "failed": f"runs/{story.FAILED}", "waiting": f"runs/{story.WAITING}", "rejected": "rejected",
    "rejected-run": f"rejected?run={story.REJECTING}",
    "rejected-none": f"rejected?run={story.REJECTING}&state=corrected",
    "dataset": "datasets/orders", "editor": "datasets/orders/edit", "wrong-file": "datasets/coupons",
    "none": "runs/00000000-0000-4000-8000-000000000099",
}  # fmt: skip


def opened(page: Page, site: Site, view: str) -> None:
    """Go to a view as somebody who comes from elsewhere, and wait until it is there."""
    page.goto("about:blank")
    page.goto(site.at(view))
    expect(page.locator("#view")).not_to_have_text("Loading…", timeout=20_000)
    expect(page.locator(".later", has_text="Counting…")).to_have_count(0, timeout=20_000)


def test_what_needs_a_person_is_on_top(page: Page, site: Site) -> None:
    opened(page, site, "")
    urgent = page.get_by_role("region", name="Needs a person").get_by_role("listitem")
    expect(urgent).to_have_count(4)
    expect(urgent.nth(0)).to_contain_text("coupons.yaml:4: keys: unknown field; did you mean key?")
    expect(urgent.nth(1)).to_contain_text("46,000 of 200,000 rows were rejected")
    expect(urgent.nth(2)).to_contain_text("has not come yet")
    expect(urgent.nth(3)).to_contain_text("older than the table's")
    rows = page.locator(".datasets tbody tr")
    expect(rows).to_have_count(7)
    for text in ("done", "509,300", "1 min 39 s", "21 MB/s", "300", "min ago", "expected in"):
        expect(rows.filter(has_text="shop.orders")).to_contain_text(text)
    expect(rows.filter(has_text="shop.prices")).to_contain_text(
        re.compile("awaited since .* fails in (59 min|60 min|1 h)")
    )
    assert page.locator(".datasets tr", has_text="shop.orders").locator("rect.day").count() >= 28
    urgent.nth(1).get_by_role("link", name="See the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("customers")
    keep(page, "failed")


def test_a_run_is_watched_while_it_loads(page: Page, site: Site) -> None:
    with story.loading(site.dsn, 64_000_000, 128_000_000):
        opened(page, site, f"runs/{story.LOADING}")
        bars = page.get_by_role("progressbar")
        expect(bars).to_have_count(1 + story.CHUNKS)
        assert [bars.nth(n).get_attribute("aria-valuenow") for n in (1, 4, 5, 6)] == ["100", "25", "50", "0"]
        status = page.get_by_role("status")
        expect(status).to_contain_text(
            re.compile(r"Loading · 960\.0 MB of 2\.05 GB · .* MB/s · .* left, then the merge")
        )
        keep(page, "loading")
    expect(bars.nth(4)).to_have_attribute("aria-valuenow", "0")  # of itself: nobody asks for the page again
    with site.warehouse() as warehouse:
        warehouse.execute(
            "UPDATE millrace.ingest_run SET status = 'failed', reason = 'the file is damaged', finished_at = now()"
            " WHERE run_id = %s", [story.LOADING],
        )  # fmt: skip
    expect(page.get_by_text("the file is damaged")).to_be_visible()
    expect(page.get_by_role("progressbar", name="All chunks")).to_have_count(0)


def test_a_run_that_is_done_is_explained(page: Page, site: Site) -> None:
    opened(page, site, f"runs/{story.REJECTING}")
    account = page.get_by_role("region", name="What became of its rows")
    picture = account.get_by_role(
        "img", name="290,000 new, 80,000 changed, 130,000 unchanged, 9,000 superseded, 300 rejected"
    )
    widths = [picture.locator(f".{name}").bounding_box() for name in ("inserted", "unchanged")]
    assert widths[0] is not None
    assert widths[1] is not None
    assert widths[0]["width"] / widths[1]["width"] == pytest.approx(29 / 13, rel=0.05)
    time = page.get_by_role("region", name="Where the time went")
    expect(time.locator("rect.load")).to_have_count(story.CHUNKS)
    for text in ("4.2 s", "31 s", "Starting tasks, in Airflow"):
        expect(time).to_contain_text(text)
    changed = page.get_by_role("region", name="What changed from the run before")
    expect(changed).to_contain_text("The file has new columns that the dataset does not name: utm_source.")
    expect(changed.get_by_role("row", name="Rejected")).to_contain_text("+300")
    link = page.get_by_role("link", name="Run in Airflow")
    expect(link).to_have_attribute(
        "href", re.compile("/dags/ingest_orders/runs/scheduled__2026-11-29T00%3A00%3A00%2B00%3A00$")
    )
    expect(page.get_by_role("link", name="Log")).to_have_attribute("href", re.compile("/tasks/account$"))
    keep(page, "run")
    page.get_by_role("link", name="min", exact=True).click()
    expect(page.locator(".rejected tbody tr")).to_have_count(50)
    expect(page.get_by_label("Rejected rows by rule").locator("a[aria-current=true]")).to_contain_text("amount: min")


def test_rejected_rows_show_the_bad_value(page: Page, site: Site) -> None:
    opened(page, site, f"rejected?run={story.REJECTING}")
    rows = page.locator(".rejected tbody tr")
    expect(rows).to_have_count(50)
    second = rows.filter(has_text="not a number").first
    expect(second.locator("mark")).to_have_text('"12,50"')
    expect(rows.filter(has_text="below 0").first.locator("code")).to_have_text(
        '-3,"Doe, Jane",paid,-3,2026-11-29T10:00:00Z'
    )
    expect(rows.filter(has_text="below 0").first.locator("code")).to_contain_text("paid,")
    assert (
        rows.filter(has_text="below 0")
        .first.locator("code")
        .evaluate("(one) => one.childNodes[0].data")
        .endswith("paid,")
    )
    expect(rows.filter(has_text="<img src=x onerror=alert(1)>").first).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    keep(page, "rejected")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert download.value.suggested_filename == f"rejected-orders-{story.REJECTING}.csv"
    assert len(lines) == 1 + 300
    page.get_by_label("Dataset").select_option("customers")
    expect(rows).to_have_count(20)
    page.get_by_label("Dataset").select_option("stock")
    expect(page.get_by_text("No rejected row is open here.")).to_be_visible()


def test_a_dataset_tells_its_columns_its_file_and_its_sql(page: Page, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, site, "datasets/orders")
    expect(page.get_by_role("region", name="Columns").get_by_role("row", name="status")).to_contain_text(
        "allowed: new, paid, shipped"
    )
    expect(page.locator("pre code.yaml")).to_contain_text('source: "{{ inbox }}/orders/orders_{{ ds }}.csv"')
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert 'FROM "shop"."orders"' in page.evaluate("navigator.clipboard.readText()")
    keep(page, "dataset")


def test_a_run_is_cleared_after_a_question(page: Page, site: Site) -> None:
    opened(page, site, f"runs/{story.FAILED}")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("dialog")).to_contain_text("All tasks of this run are cleared")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert site.airflow.asked == []
    page.get_by_role("button", name="Run again").click()
    keep(page, "question")
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page.get_by_text("The run begins again.")).to_be_visible()
    [(what, body)] = site.airflow.asked
    assert what == "clear ingest_customers/manual__2026-11-29T08:00:00+00:00"
    assert body == {"dry_run": False, "only_failed": False}


def test_a_file_is_forced_with_its_interval_and_limits(page: Page, site: Site) -> None:
    site.airflow.conf = {"reject_rows": 5}
    opened(page, site, f"runs/{story.REJECTING}")
    page.get_by_role("button", name="Force").click()
    page.get_by_role("dialog").get_by_role("button", name="Force").click()
    expect(page.get_by_text("A run is started.")).to_be_visible()
    [(what, body)] = site.airflow.asked
    with site.warehouse() as warehouse:
        query = "SELECT version, file FROM millrace.ingest_run WHERE run_id = %s"
        [(version, file)] = warehouse.execute(query, [story.REJECTING]).fetchall()
    assert what == "trigger ingest_orders"
    assert body["conf"] == {"reject_rows": 5, "path": file, "force": True}
    later = datetime.fromisoformat(body["logical_date"]) - version
    assert timedelta(0) < later < timedelta(minutes=1), "within the interval, and no date that a run has already"


def test_what_airflow_refuses_is_told(page: Page, site: Site) -> None:
    page.route("**/clear", lambda route: route.fulfill(status=403, json={"detail": "Forbidden"}))
    opened(page, site, f"runs/{story.FAILED}")
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Airflow refused: Forbidden")).to_be_visible()


def test_airflow_leads_to_the_run_and_the_page_back(page: Page, site: Site) -> None:
    name = "ingest_customers", "manual__2026-11-29T08:00:00%2B00:00"
    page.goto(f"{site.url}/millrace/ingest/ingest.html?dag={name[0]}&run={name[1]}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("customers")
    assert page.url.endswith(f"#/runs/{story.FAILED}")
    page.goto(f"{site.url}/millrace/ingest/ingest.html?dag=resize_images&run=x")
    expect(page.get_by_text("the ledger knows no run x of resize_images")).to_be_visible()


def test_it_works_in_airflows_frame(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/plugin/ingest?theme=dark")
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    frame.locator(".datasets").get_by_role("link", name="customers").click()
    expect(frame.get_by_role("heading", level=1, name="customers")).to_be_visible()
    frame.get_by_role("table").get_by_role("link", name=re.compile("customers")).first.click()
    frame.get_by_role("button", name="Run again").click()
    frame.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(frame.get_by_text("The run begins again.")).to_be_visible()
    assert len(site.airflow.asked) == 1


def test_it_works_by_keyboard(page: Page, site: Site) -> None:
    opened(page, site, "")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.key") == "dataset orders":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="orders")).to_be_focused()
    opened(page, site, f"runs/{story.FAILED}")
    page.get_by_role("button", name="Run again").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Run again")).to_be_focused()
    assert site.airflow.asked == []


def test_the_focus_stays_where_it_is_while_a_view_is_drawn_again(page: Page, site: Site) -> None:
    opened(page, site, f"runs/{story.LOADING}")
    button = page.get_by_role("button", name="Run again")
    button.focus()
    handle = button.element_handle()
    page.wait_for_function("(one) => !one.isConnected", arg=handle)
    expect(button).to_be_focused()


@pytest.fixture
def axe(browser: Browser) -> Axe:
    """Finds what people with aids can't use; on a page with a fault of each kind it is seen to find it."""
    page = browser.new_page()
    page.set_content("<html lang=en><title>x</title><main><h1>x</h1><img src=x><p style='color: #ccc'>pale</p></main>")
    faults = {one["id"] for one in Axe().run(page).response["violations"]}
    page.close()
    assert {"image-alt", "color-contrast"} <= faults
    return Axe()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(browser: Browser, site: Site, axe: Axe, width: int, theme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    with story.loading(site.dsn, 120_000_000, 60_000_000):
        for name, view in VIEWS.items():
            opened(page, site, view)
            expect(page.locator("html")).to_have_attribute("data-theme", theme)
            found = axe.run(page)
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the screen"
            keep(page, f"{name}-{width}-{theme}")
    context.close()
