"""Rejected rows are edited, checked, saved and replayed in a real browser, and stand in the table then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect
from psycopg import Connection

from include.ingest.dataset.definition import Dataset
from include.ingest.ledger import Account
from include.ingest.replay.corrections import correct
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset, rows
from tests.ingest.page.conftest import keep
from tests.ingest.page.serving import Replays, application, guards, rights
from tests.ingest.replay.rejecting import rejects
from tests.served import served

pytestmark = pytest.mark.browser
BAD = HEADER + '1,good,1\n2,"b, c",x\n3,c,-3\n4,d\n5,<img src=x onerror=alert(1)>,5.x\n'


@dataclass
class Desk:
    """The page, who does its replays, and a run with four rejected rows."""

    url: str
    replays: Replays
    dataset: Dataset
    run: Account

    def open(self, page: Page, more: str = "") -> None:
        page.goto("about:blank")
        page.goto(f"{self.url}/millrace/ingest/ingest.html#/rejected?run={self.run.run_id}{more}")
        expect(page.locator(".later", has_text="Counting…")).to_have_count(0)

    def do(self) -> None:
        """Airflow comes to the replay that was asked for."""
        self.replays.do(self.replays.begun[-1][0])


@pytest.fixture
def desk(dsn: str, warehouse: Connection[Any], tmp_path: Path) -> Iterator[Desk]:
    dataset = make_dataset(tmp_path)
    run = ingest(warehouse, dataset, BAD, tmp_path)
    replays = Replays(dsn, tmp_path)
    with served(application(dsn, tmp_path, guards(), changing=(rights(), replays))) as url:
        yield Desk(url, replays, dataset, run)


def line(page: Page, number: int) -> Locator:
    """The row of a line of the file."""
    return page.locator("tbody tr").filter(has=page.get_by_role("rowheader", name=re.compile(rf"^(Line )?{number}$")))


def checked(form: Locator, text: str) -> None:
    """What the checks say; the first time, the process that does them must begin."""
    expect(form.get_by_role("status")).to_contain_text(text, timeout=30_000)


def editor(page: Page, number: int) -> Locator:
    """Open it."""
    page.get_by_role("button", name=f"Edit line {number}").click()
    return page.locator("tr.editor")


def test_a_row_is_corrected_checked_saved_and_replayed(page: Page, desk: Desk, warehouse: Connection[Any]) -> None:
    desk.open(page)
    expect(page.locator(".rejected tbody tr")).to_have_count(4)
    form = editor(page, 3)
    price = form.get_by_label("price")
    expect(price).to_be_focused()
    expect(price).to_have_attribute("aria-invalid", "true")
    expect(price).to_have_accessible_description("not a decimal number")
    expect(form.get_by_label("label")).to_have_value("b, c")
    form.get_by_role("button", name="Check").click()
    checked(form, "It would be rejected again: price: not a decimal number")
    price.fill("-2")
    form.get_by_role("button", name="Check").click()
    checked(form, "less than 0.00")
    expect(price).to_have_accessible_description("less than 0.00")
    keep(page, "edit")
    price.fill("2.50")
    form.get_by_role("button", name="Check").click()
    checked(form, "would be accepted")
    assert rows(warehouse) == [(1, "good", 1)]
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    expect(line(page, 3)).to_contain_text('now 2,"b, c",2.50')
    expect(line(page, 3)).to_contain_text("by eve, just now")
    expect(page.get_by_role("button", name="Edit line 3")).to_be_focused()
    page.get_by_role("button", name="Replay 1 corrected row", exact=True).click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("1 corrected row of this run: the dataset, as its file is now, checks them")
    question.get_by_role("button", name="Cancel").click()
    assert desk.replays.begun == []
    page.get_by_role("button", name="Replay 1 corrected row", exact=True).click()
    question.get_by_role("button", name="Replay").click()
    replays = page.get_by_role("region", name="Replays").get_by_role("listitem")
    expect(replays).to_contain_text("waiting to start Corrected rows of a run, asked by eve")
    keep(page, "replay-waiting")
    desk.do()
    expect(page.locator("#notes")).to_contain_text("Of 1 row: 1 accepted (1 new, 0 changed, 0 unchanged)")
    expect(replays).to_have_count(1)
    assert [str(value) for value in rows(warehouse)[1]] == ["2", "b, c", "2.50"]
    expect(page.locator(".rejected tbody tr")).to_have_count(3)
    page.get_by_role("link", name="replayed 1").click()
    expect(line(page, 3)).to_contain_text('replayed as 2,"b, c",2.50')
    page.get_by_role("button", name="History of line 3").click()
    history = page.get_by_role("region", name="Who changed what")
    expect(history).to_contain_text("eve corrected it, ")
    expect(history.locator("code")).to_have_text(['2,"b, c",x', '2,"b, c",2.50'])
    keep(page, "replayed")
    line(page, 3).get_by_role("link", name="The replay of line 3").click()
    expect(page.get_by_text("rejected rows of this run")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("Asked byeve")
    page.get_by_role("link", name="rejected rows of this run").click()
    expect(page.get_by_role("region", name="Replays of its rejected rows")).to_contain_text("Replay of 1 row by eve")


def test_a_row_is_dismissed_with_a_reason_and_opened_again(page: Page, desk: Desk) -> None:
    desk.open(page)
    form = editor(page, 3)
    form.get_by_role("button", name="Dismiss…").click()
    why = form.get_by_label("Why it needs no replay")
    expect(why).to_be_focused()
    why.fill("a test of theirs")
    keep(page, "dismiss")
    form.get_by_role("button", name="Dismiss the row").click()
    expect(form).to_have_count(0)
    expect(line(page, 3)).to_contain_text("dismissed")
    expect(page.get_by_role("button", name="Replay all 3 open rows of this run")).to_be_visible()
    page.get_by_role("button", name="History of line 3").click()
    expect(page.get_by_role("region", name="Who changed what")).to_contain_text("eve dismissed it")
    expect(page.get_by_role("region", name="Who changed what")).to_contain_text("a test of theirs")
    page.get_by_role("button", name="Open it again").click()
    expect(page.get_by_role("button", name="Edit line 3")).to_be_focused()
    expect(line(page, 3)).to_contain_text("open")


def test_all_of_a_run_after_a_rule_was_relaxed(
    page: Page, desk: Desk, warehouse: Connection[Any], tmp_path: Path
) -> None:
    ingest(warehouse, desk.dataset, HEADER + "3,newer,30\n", tmp_path, version=DAY + timedelta(days=1))
    make_dataset(tmp_path, ITEMS.replace(", min: 0", ""))
    desk.open(page)
    page.get_by_role("button", name="Replay all 4 open rows of this run").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("region", name="Replays")).to_contain_text("waiting to start")
    desk.do()
    notes = page.locator("#notes")
    expect(notes).to_contain_text("Of 4 rows: 1 left alone, as the table has a newer row of their key")
    expect(notes).to_contain_text("3 rejected again")
    page.get_by_role("link", name="replayed 4").click()
    expect(line(page, 3)).to_contain_text("rejected again")
    expect(line(page, 4)).not_to_contain_text("rejected again")
    notes.get_by_role("link", name="3 rejected again").or_(
        page.get_by_role("region", name="Replays").get_by_role("link", name="3 rejected again")
    ).first.click()
    expect(page.locator(".rejected tbody tr")).to_have_count(3)
    expect(line(page, 3)).to_contain_text("rejected again by a replay")


def test_the_rows_of_a_filter(page: Page, desk: Desk, warehouse: Connection[Any], tmp_path: Path) -> None:
    make_dataset(tmp_path, ITEMS.replace(", min: 0", ""))
    desk.open(page, "&rule=min&column=price")
    expect(page.locator(".rejected tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Replay all 1 open row of this filter").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("region", name="Replays")).to_contain_text("Open rows of the rule price: min of a run")
    desk.do()
    expect(page.locator("#notes")).to_contain_text("1 accepted (1 new")
    expect(page.get_by_text("No rejected row is open here.")).to_be_visible()
    assert [row[0] for row in rows(warehouse)] == [1, 3]


def test_a_record_that_has_no_columns_is_edited_as_a_whole(page: Page, desk: Desk, warehouse: Connection[Any]) -> None:
    desk.open(page)
    form = editor(page, 5)
    expect(form).to_contain_text("the record has 2 fields instead of 3")
    expect(form.get_by_role("button", name="By column")).to_be_disabled()
    record = form.get_by_label("Record, as a line of the file")
    expect(record).to_be_focused()
    record.fill("4,d,4\n9,e,9")
    form.get_by_role("button", name="Check").click()
    checked(form, "is not one record")
    record.fill("4,d,4")
    form.get_by_role("button", name="Save").click()
    expect(line(page, 5)).to_contain_text("now 4,d,4")
    form = editor(page, 5)
    expect(form.get_by_label("price")).to_have_value("4")
    form.get_by_role("button", name="Take the correction back").click()
    expect(line(page, 5).locator(".state")).to_have_text("open")


def test_two_people_at_once(page: Page, desk: Desk, warehouse: Connection[Any]) -> None:
    desk.open(page)
    form = editor(page, 3)
    expect(form.get_by_label("price")).to_be_focused()
    correct(warehouse, desk.dataset, rejects(warehouse, desk.run)[0].id, who="ann", fields={"price": "7"})
    form.get_by_label("price").fill("2")
    form.get_by_role("button", name="Save").click()
    checked(form, "ann has corrected this row meanwhile")
    checked(form, 'It is now 2,"b, c",7')
    keep(page, "meanwhile")
    form.get_by_role("button", name="Begin with what is there now").click()
    expect(form.get_by_label("price")).to_have_value("7")
    form.get_by_label("price").fill("8")
    form.get_by_role("button", name="Save").click()
    expect(line(page, 3)).to_contain_text('now 2,"b, c",8')


def test_it_works_by_keyboard(page: Page, desk: Desk) -> None:
    desk.open(page)
    page.get_by_role("button", name="Edit line 3").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("price")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("tr.editor")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit line 3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("price")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Check")).to_be_focused()
    page.keyboard.press("Enter")
    checked(page.locator(".editor"), "would be accepted")
    expect(page.get_by_role("button", name="Check")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(line(page, 3)).to_contain_text('now 2,"b, c",2')


def test_who_may_not_start_runs_sees_the_history_only(
    page: Page, dsn: str, warehouse: Connection[Any], tmp_path: Path, desk: Desk
) -> None:
    may_not = rights(may=lambda name: False)
    with served(application(dsn, tmp_path, guards(), changing=(may_not, desk.replays))) as url:
        desk.url = url
        desk.open(page)
        form = editor(page, 3)
        expect(form).to_contain_text("one must be allowed to start runs of ingest_items")
        expect(form.get_by_role("textbox")).to_have_count(0)
        form.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Replay all 4 open rows of this run").click()
        page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        expect(page.locator("#notes")).to_contain_text("you may not start runs of ingest_items")
    assert desk.replays.begun == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Browser, desk: Desk, warehouse: Connection[Any], width: int, theme: str) -> None:
    ids = [row.id for row in rejects(warehouse, desk.run)]
    correct(warehouse, desk.dataset, ids[0], who="ann", fields={"price": "2"})
    correct(warehouse, desk.dataset, ids[0], who="bob", fields={"price": "-3"})
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    desk.open(page)
    page.get_by_role("button", name="Replay 1 corrected row", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("region", name="Replays")).to_contain_text("waiting to start")
    desk.do()
    expect(page.locator("#notes")).to_contain_text("1 rejected again")
    desk.open(page, "&state=all")
    expect(line(page, 3)).to_contain_text("rejected again")
    form = editor(page, 4)
    form.get_by_role("button", name="Check").click()
    checked(form, "less than 0.00")
    page.get_by_role("button", name="History of line 3").click()
    expect(page.get_by_role("region", name="Who changed what")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep(page, f"editor-{width}-{theme}")
    page.evaluate("(run) => { location.hash = `#/runs/${run}` }", desk.run.run_id)
    expect(page.get_by_role("region", name="Replays of its rejected rows")).to_contain_text(re.compile("by eve"))
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    keep(page, f"replays-of-run-{width}-{theme}")
    context.close()
