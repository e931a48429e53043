"""The page Memory in a real browser without Airflow: phones, plain words, and axe."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool

from include.memory import api, pages
from include.memory.shipping import entries
from include.memory.watcher.sample import Incarnation
from tests.memory import story
from tests.served import keep, served

pytestmark = pytest.mark.browser
YOUNG = "UPDATE millrace.memory_finding SET verdict = 'not enough data', why = '2 looks so far.'"


@pytest.fixture
def url(dsn: str) -> Iterator[str]:
    """The page on a real server."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(dsn, min_size=0, max_size=api.CONNECTIONS, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)
    service = api.Service(pool)
    app.include_router(api.router(lambda: service, lambda: None), prefix="/millrace")
    app.include_router(pages.router(lambda: None), prefix="/millrace")
    with served(app) as address:
        yield f"{address}/millrace/memory/memory.html"


def opened(browser: Browser, url: str, width: int = 1280, theme: str = "light") -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.goto(url)
    expect(page.locator("#processes > tr").first).to_be_visible()
    expect(page.locator("#tasks")).to_be_visible()
    return page


def test_who_is_too_young_is_not_called_innocent(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    page = opened(browser, url)
    expect(page.locator("#summary")).to_contain_text("1 leaking")
    warehouse.execute(YOUNG)
    page.reload()
    expect(page.locator("#summary")).to_have_text("7 processes, all too young to judge")
    page.context.close()


def test_alike_processes_are_one_row(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    many = [
        replace(story.LIVES[3], process=Incarnation(story.HOST, 6000 + n, 9_100_000 + n), began=20) for n in range(8)
    ]
    story.tell(warehouse, many)
    page = opened(browser, url)
    group = page.locator("#processes > tr.group")
    expect(group).to_have_count(1)
    expect(group.locator(".state")).to_have_text("growing (watch)")  # the worst of them
    expect(group).to_contain_text("1 of 10")
    expect(group).to_contain_text("pid 4730: What is in use grows")
    used = page.evaluate(
        "fetch('processes').then((answer) => answer.json()).then(({ processes }) =>"
        " processes.filter((one) => one.role === 'executor-worker').reduce((sum, one) => sum + one.used_bytes, 0))"
    )
    expect(group.locator("[data-label=Now] b")).to_have_text(f"{used / 1e6:.1f} MB")
    button = group.get_by_role("button", name="10 \N{MULTIPLICATION SIGN} executor-worker")
    expect(button).to_have_attribute("aria-expanded", "false")
    folded = page.locator("#processes > tr").count()
    button.press("Enter")
    expect(page.locator("#processes > tr")).to_have_count(folded + 10)
    expect(button).to_be_focused()
    keep(page, "memory-group")
    assert Axe().run(page).violations_count == 0
    page.get_by_role("link", name="pid 4730").click()
    expect(page.locator("#one h1")).to_have_text("executor-worker 4730 on airflow-1")
    page.go_back()
    expect(page.locator("#processes > tr")).to_have_count(folded + 10)  # as it was left
    page.context.close()


def test_the_page_says_when_there_will_be_a_verdict(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    page = opened(browser, url)
    young = page.locator("#processes > tr", has_text="airflow-2")
    expect(young).to_contain_text("It has been sampled. Its verdict is due at 20")
    warehouse.execute("UPDATE millrace.memory_sample SET age_seconds = age_seconds + 7200 WHERE host = 'airflow-2'")
    page.reload()
    expect(young).to_contain_text("is the DAG audit_memory paused?")
    page.context.close()


def test_a_leak_that_has_ended_stays_in_sight(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    for process in (story.LEAKING, story.WORKER):
        entries.end(warehouse, process)
    page = opened(browser, url)
    expect(page.locator("#processes > tr.ended")).to_have_count(1)
    expect(page.locator("#processes > tr.ended")).to_contain_text("leaking")
    expect(page.locator("#summary")).to_contain_text("none leaking")
    page.get_by_role("button", name="Show ended processes").click()
    expect(page.locator("#processes > tr.ended")).to_have_count(4)
    page.context.close()


def test_a_plot_shows_the_time_that_has_looks(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    warehouse.execute("DELETE FROM millrace.memory_sample WHERE pid = 9001 AND (age_seconds / 60)::integer % 5 <> 0")
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script("localStorage.setItem('timezone', 'Asia/Tokyo')")
    page.goto(f"{url}#/processes/airflow-1/9001/19900000")  # half an hour old
    plot = page.locator(".plot").first
    expect(page.get_by_role("button", name="1 h", exact=True)).to_have_attribute("aria-pressed", "true")
    line = plot.locator(".line.used")
    expect(line).to_have_count(1)  # five minutes between two looks are no gap where all are so far apart
    box, frame = line.bounding_box(), page.locator(".plot svg").first.bounding_box()
    assert box is not None
    assert frame is not None
    assert box["width"] > 0.7 * frame["width"]
    expect(page.locator(".legend").first).to_contain_text("Times are in Asia/Tokyo.")
    row = warehouse.execute(
        "SELECT to_char(min(taken_at - age_seconds * interval '1 second') AT TIME ZONE 'Asia/Tokyo',"
        " 'YYYY-MM-DD HH24:MI') FROM millrace.memory_sample WHERE pid = 9001"
    ).fetchone()
    assert row is not None
    expect(page.locator("#one .facts")).to_contain_text(row[0])
    page.goto(f"{url}#/processes/airflow-1/4711/9000000")
    expect(page.locator("#one h1")).to_contain_text("4711")
    ticks = page.locator(".plot svg").first.locator("text.tick[text-anchor=middle]").all_text_contents()
    assert len(ticks) > 3
    assert [tick for tick in ticks if not re.fullmatch(r"\d\d:00|\d\d-\d\d", tick)] == []
    kinds = page.locator(".plot svg").first.evaluate("(svg) => [...svg.children].map((one) => one.classList[0])")
    assert kinds.index("mark-text") > max(n for n, kind in enumerate(kinds) if kind in ("mark", "line", "limit"))
    page.context.close()


def test_the_time_shown_is_that_of_the_looks(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    story.tell(warehouse)
    warehouse.execute("DELETE FROM millrace.memory_sample WHERE age_seconds > 3000")
    warehouse.execute("UPDATE millrace.memory_sample SET age_seconds = 600 WHERE age_seconds > 600")
    warehouse.execute(
        "INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,"
        " anonymous_bytes, swap_bytes, threads, unreadable)"
        " VALUES ('h', 1, 1, now(), 'scheduler', 600, 1, 1, 0, 1, '{}')"
    )
    page = opened(browser, url)
    expect(page.get_by_role("button", name="1 h", exact=True)).to_have_attribute("aria-pressed", "true")
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Browser, url: str, warehouse: Connection[Any], width: int, theme: str) -> None:
    story.tell(warehouse)
    page = opened(browser, url, width, theme)
    for link in (None, "scheduler"):
        if link:
            page.locator("#processes").get_by_role("link", name=link).first.click()
            expect(page.locator("#one h1")).to_be_visible()
            expect(page.locator(".plot").first).to_be_visible()
        keep(page, f"memory-{'one' if link else 'list'}-{width}-{theme}")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
