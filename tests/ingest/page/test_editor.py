"""The editor of a dataset file in a real browser: completion by the schema, check, preview, copy and download."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Locator, Page, expect

from include.ingest.dataset_file import json_schema
from tests.ingest.page.conftest import Site, keep
from tests.ingest.page.test_browser import opened

pytestmark = pytest.mark.browser
SUGGEST = """async ([url, text, schema]) => {
    const { suggest } = await import(url), cursor = text.indexOf("|");
    const found = suggest(text.replace("|", ""), cursor, schema);
    return found.options.map((one) => one.label);
}"""
CASES: list[tuple[str, set[str], set[str]]] = [
    ("|", {"name", "source", "columns", "csv"}, {"type", "delimiter"}),
    ("name: x\nunk|", {"unknown_columns"}, {"name"}),
    ("name: x\n|", {"source"}, {"name"}),
    ("mode: |", {"upsert", "append", "replace"}, {"true"}),
    ("mode: re|", {"replace"}, {"upsert"}),
    ("catchup: |", {"true", "false"}, {"null"}),
    ("schedule: |", {"@daily", "null"}, set()),
    ("csv: {|", {"delimiter", "encoding"}, {"name"}),
    ("csv: {quote: '\"', |", {"delimiter", "encoding"}, {"quote"}),
    ("csv: {header: |", {"true", "false", "search"}, set()),
    ("csv:\n  short_rows: |", {"reject", "fill"}, set()),
    ("columns:\n  id: {type: bigint, nu|", {"nullable"}, {"type", "name"}),
    ("columns:\n  id: {type: |", {"bigint", "numeric(12,2)"}, set()),
    ('columns:\n  id: {type: "numeric(10,2)", nullable: |', {"true", "false"}, set()),
    ("columns:\n  id:\n    |", {"type", "nullable"}, {"name", "csv"}),
    ("columns:\n  id:\n    type: bigint\n  other:\n    decimal_mark: |", {".", ","}, set()),
    ("columns:\n  |", set(), {"type", "name"}),
    ("reject_limit: {rows: null, |", {"ratio"}, {"rows", "bytes"}),
    ("columns:\n  id: {type: bigint}\n  b: {type: date}\nkey: [|", {"id", "b"}, {"type"}),
    ("columns:\n  id: {type: bigint}\n  b: {type: date}\nkey: [id, |", {"b"}, {"type"}),
    ("columns:\n  id: {type: bigint}\nversion: |", {"data_interval", "id"}, set()),
    ("name: x # mo|", set(), {"mode"}),
    ("nonsense: {deeper: {|", set(), {"name", "type"}),
    ("description: |", set(), {"name"}),
]


@pytest.mark.parametrize(("text", "some", "none"), CASES, ids=[case[0][-30:] for case in CASES])
def test_what_may_stand_at_a_place(page: Page, site: Site, text: str, some: set[str], none: set[str]) -> None:
    page.goto(f"{site.url}/millrace/ingest/words.js")
    found = set(page.evaluate(SUGGEST, [f"{site.url}/millrace/ingest/completion.js", text, json_schema()]))
    assert some <= found
    assert not none & found
    if not some:
        assert not found


def editor(page: Page, site: Site) -> Locator:
    """The editor of orders, which is shown."""
    opened(page, site, "datasets/orders")
    page.get_by_role("link", name="Edit a copy").click()
    area = page.get_by_role("textbox", name="Dataset file")
    expect(area).to_be_visible()
    return area


def put(area: Locator, text: str) -> None:
    """Write at the end of the text."""
    area.evaluate("(one) => { one.focus(); one.setSelectionRange(one.value.length, one.value.length); }")
    area.page.keyboard.type(text)


def test_completion_by_keyboard(page: Page, site: Site) -> None:
    area = editor(page, site)
    put(area, "missi")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options).to_have_count(1)
    expect(options).to_contain_text("missing_columns")
    expect(options).to_contain_text("What becomes of columns that the file lacks")
    expect(options).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowDown")
    expect(area).to_have_attribute("aria-activedescendant", "option-0")
    keep(page, "completion")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Space")
    expect(options).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.keyboard.press("Control+Space")
    options.nth(1).click()
    assert area.input_value().endswith("\nmissing_columns: null")
    page.keyboard.press("Control+z")
    assert area.input_value().endswith("\nmissing_columns: "), "what was taken can be undone"
    page.keyboard.press("Enter")
    assert area.input_value().endswith("\nmissing_columns: \n"), "without a choice, Enter begins a line"
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Check")).to_be_focused()


def test_a_fault_is_named_with_its_line(page: Page, site: Site) -> None:
    area = editor(page, site)
    area.fill(area.input_value().replace("type: bigint", "type: bigunt").replace("mode", "mood"))
    page.get_by_role("button", name="Check").click()
    fault = page.get_by_role("region", name="Result").get_by_role("listitem")
    expect(fault).to_have_count(1, timeout=40_000)
    expect(fault).to_contain_text("columns.id.type: 'bigunt' is not a supported type")
    fault.get_by_role("button", name="Line 7").click()
    assert area.evaluate("(one) => one.value.slice(one.selectionStart, one.selectionEnd)") == "  id: {type: bigunt}"
    page.reload()
    expect(area).to_have_value(re.compile("bigunt"))
    page.get_by_role("button", name="Start over").click()
    page.get_by_role("button", name="Check").click()
    result = page.get_by_role("region", name="Result")
    expect(result).to_contain_text("No fault found.", timeout=40_000)
    expect(result).to_contain_text("/inbox/orders/orders_")


def test_a_preview_of_the_edited_text(page: Page, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_INBOX", str(tmp_path))
    with site.warehouse() as warehouse:
        files = warehouse.execute(
            "UPDATE millrace.ingest_run SET file = %s || '/orders/orders_' || to_char(version, 'YYYY-MM-DD') || '.csv'"
            " WHERE dataset = 'orders' RETURNING file",
            [str(tmp_path)],
        ).fetchall()
    (tmp_path / "orders").mkdir()
    file = Path(max(files)[0])
    file.write_text(
        "id,email,status,amount,placed at,extra\n1,<b>x</b>,new,5.00,2026-11-29T10:00:00Z,e\n"
        "2,,lost,5.00,2026-11-29T10:00:00Z,e\n3,c@d,paid,0.10,2026-11-29T11:00:00Z,e\n"
    )
    area = editor(page, site)
    area.fill(area.input_value().replace("min: 0", "min: 1"))
    page.get_by_role("button", name="Preview").click()
    result = page.get_by_role("region", name="Result")
    expect(result).to_contain_text("1 would land, 0 lose to a later one of their key, 2 are rejected", timeout=60_000)
    expect(result).to_contain_text("Columns of the file that the dataset does not name: extra.")
    expect(result.get_by_role("region", name="First rows").get_by_role("row").nth(1)).to_contain_text("<b>x</b>")
    rules = result.get_by_role("table").last
    expect(rules.get_by_role("row", name="min")).to_contain_text("line 4, amount: less than 1")
    expect(rules.get_by_role("row", name="allowed")).to_contain_text("line 3, status")
    keep(page, "preview")
    page.set_viewport_size({"width": 390, "height": 844})
    keep(page, "preview-phone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_text_is_copied_and_downloaded_and_never_saved(page: Page, site: Site, tmp_path: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    asked: list[str] = []
    page.on("request", lambda one: asked.append(f"{one.method} {one.url.rpartition('/ingest/')[2]}"))
    area = editor(page, site)
    stored = (tmp_path / "orders.yaml").read_text()
    assert area.input_value() == stored
    expect(page.get_by_text(str(tmp_path / "orders.yaml"))).to_be_visible()
    put(area, "owner: me\n")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == stored + "owner: me\n"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "orders.yaml"
    text = Path(download.value.path()).read_text()
    assert yaml.safe_load(text)["owner"] == "me"
    assert (tmp_path / "orders.yaml").read_text() == stored
    assert [one for one in asked if not one.startswith("GET ")] == []


def test_the_schema_is_that_of_the_committed_file(site: Site, page: Page) -> None:
    found: dict[str, Any] = page.request.get(f"{site.url}/millrace/ingest/dataset-schema").json()
    assert found == json.loads(json.dumps(json_schema()))
