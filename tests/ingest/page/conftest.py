"""A real browser in front of the page, with a warehouse behind it that has a past."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page
from psycopg import Connection

from tests.ingest.page import story
from tests.ingest.page.serving import Airflow, application, guards
from tests.served import served

SCREENSHOTS = os.environ.get("MILLRACE_SCREENSHOTS")  # a folder to keep the pictures in
SECOND = 1000


@dataclass
class Site:
    """The page's address, what stands behind it, and what Airflow was asked."""

    url: str
    dsn: str
    airflow: Airflow

    def at(self, view: str = "") -> str:
        """The address of a view."""
        return f"{self.url}/millrace/ingest/ingest.html#/{view}"

    def warehouse(self) -> Connection[Any]:
        """A connection to the warehouse."""
        return psycopg.connect(self.dsn, autocommit=True)


@pytest.fixture
def site(dsn: str, warehouse: Connection[Any], tmp_path: Path) -> Iterator[Site]:
    """The page, and a warehouse that tells the story."""
    story.write_files(tmp_path)
    story.tell(warehouse)
    airflow = Airflow()
    with served(application(dsn, tmp_path, guards(), airflow.router())) as url:
        yield Site(url, dsn, airflow)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of the browser, of which every error of a script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20 * SECOND)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults


def keep(page: Page, name: str) -> None:
    """Keep a picture, where a folder for it is named."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"ingest-{name}.png", full_page=True)
