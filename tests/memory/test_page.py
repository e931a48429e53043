"""The page Memory in a real browser without Airflow: phones, plain words, and axe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool

from include.memory import api, pages
from tests.memory import story
from tests.served import served

pytestmark = pytest.mark.browser
FIRST_PAINT_SECONDS = 1.0
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


def test_the_first_paint_with_thirty_days_of_looks(browser: Browser, url: str, warehouse: Connection[Any]) -> None:
    warehouse.execute(
        "INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,"
        " anonymous_bytes, swap_bytes, unique_bytes, threads, unreadable)"
        " SELECT 'host-' || pid / 5, pid, 1000, now() - look * interval '1 minute', 'worker', 3e6 - look * 60, 2e8,"
        " 1e8, 0, 1e8 + look, 4, '{}' FROM generate_series(1, 15) pid, generate_series(0, 30 * 1440) look"
    )
    warehouse.execute("ANALYZE millrace.memory_sample")
    for _ in range(2):  # the first request opens the connections
        page = opened(browser, url)
        shown = page.evaluate("performance.getEntriesByName('shown')[0].startTime") / 1000
        page.context.close()
    print(f"30 days of looks at 15 processes: {shown:.2f} s")
    assert shown < FIRST_PAINT_SECONDS


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
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
