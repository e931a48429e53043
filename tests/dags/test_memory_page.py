"""The page Memory in a real browser: the list, a leak's plots, chain and lines, both themes, and who may see it."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.dags.conftest import Airflow, keep

SECOND = 1000


def opened(page: Page, airflow: Airflow) -> FrameLocator:
    page.goto(f"{airflow.settings.url}/plugin/memory")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Memory", exact=True)).to_be_visible(timeout=60 * SECOND)
    return frame


def background(frame: FrameLocator) -> int:
    """How bright the page is, 0 to 255."""
    colour = frame.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    return int(re.findall(r"\d+", colour)[0])


@pytest.mark.airflow
@pytest.mark.browser
@pytest.mark.usefixtures("told")
def test_a_leak_is_found_and_explained(page: Page, airflow: Airflow) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    frame = opened(page, airflow)
    rows = frame.locator("#processes > tr", has_text=re.compile("airflow-[12] "))
    leak = rows.filter(has_text="pid 4711")
    expect(rows).to_have_count(7)
    for text in ("leaking", "+6.18", "5.94 to 6.41", "22 h", "of 512.0 MB", "no curve that levels off"):
        expect(leak).to_contain_text(text)
    expect(rows.first).to_contain_text("pid 4711")
    expect(leak.locator("svg.spark path")).to_have_count(1)
    expect(frame.locator("#tasks tbody tr").first).to_contain_text("build_features.train")
    keep(page, "memory-list")
    frame.get_by_role("button", name="Show ended processes").click()
    expect(rows).to_have_count(9)
    leak.get_by_role("link", name="scheduler").click()
    expect(frame.get_by_role("heading", name="scheduler 4711 on airflow-1")).to_be_focused()
    plot = frame.locator(".plot").first
    for text in ("restart", "deploy 2026.11.2", "profile"):
        expect(plot.locator("text.mark-text", has_text=text).first).to_be_visible()
    chain = frame.locator(".chain").first
    expect(chain.locator(".box")).to_have_text(["module audit_trail", "audit_trail.History", "list of 531,984"])
    expect(frame.locator("summary").first).to_contain_text("audit_trail.py:41")
    expect(frame.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    changed = frame.locator("tr", has_text=".events list").first
    expect(changed).to_contain_text("+113,682")
    plot.focus()
    for key in ("End", "Enter", "PageUp", "Enter"):
        plot.press(key)
    expect(plot.locator("output")).to_contain_text(re.compile(r"\+\d+\.\d MB in \d+\.\d h"))
    keep(page, "memory-leak")
    with page.expect_download() as download:
        frame.get_by_role("link", name="JSON").first.click()
    assert '"points"' in download.value.path().read_text()
    frame.get_by_role("link", name="All processes").click()
    expect(leak.get_by_role("link", name="scheduler")).to_be_focused()
    assert not faults


@pytest.mark.airflow
@pytest.mark.browser
@pytest.mark.usefixtures("told")
def test_it_follows_the_theme_of_airflow(page: Page, airflow: Airflow) -> None:
    page.add_init_script("localStorage.setItem('theme', 'dark')")
    frame = opened(page, airflow)
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    assert background(frame) < 40
    frame.locator("#processes > tr", has_text="pid 4730").get_by_role("link").click()
    expect(frame.locator("rect.greedy")).to_have_count(5)
    keep(page, "memory-worker-dark")
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    assert background(frame) > 240
    keep(page, "memory-worker-light")


@pytest.mark.airflow
@pytest.mark.browser
def test_with_no_data_it_says_what_to_do(page: Page, airflow: Airflow) -> None:
    page.route("**/memory/processes?*", lambda route: route.fulfill(json={"processes": []}))
    frame = opened(page, airflow)
    expect(frame.get_by_text("No process is being watched yet.")).to_be_visible()
    keep(page, "memory-empty")
    frame.get_by_role("link", name="Open the DAG audit_memory").click()
    page.wait_for_url(f"{airflow.settings.url}/dags/audit_memory**")


@pytest.mark.airflow
@pytest.mark.parametrize("file", ["processes", "tasks", "memory.html", "memory.js", "base.css"])
def test_it_needs_the_login(airflow: Airflow, file: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{airflow.settings.url}/millrace/memory/{file}")
    assert refused.value.code == 401
    refused.value.close()
