"""The page Images in a real browser: log in, drop a file, watch it become done, see a failure and its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dags.conftest import Airflow, keep
from tests.images import pictures

SECOND = 1000
PHOTO = pictures.encoded(pictures.photo(1200, 900, 8))


def slow_down(page: Page, milliseconds: int) -> None:
    """Let each request take so much longer."""
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1},
    )


@pytest.mark.browser
def test_a_dropped_file_is_seen_to_the_end(page: Page, airflow: Airflow, tmp_path: Path) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    files = {"river.jpg": pictures.encoded(pictures.photo(1800, 1200, 7)), "torn.jpg": PHOTO[:9000]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    slow_down(page, 700)  # what is dropped before the script has come must not be lost
    page.goto(f"{airflow.settings.url}/plugin/images")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Images")).to_be_visible(timeout=60 * SECOND)
    expect(frame.locator("#files")).to_be_enabled()
    frame.locator("#files").set_input_files([tmp_path / name for name in files])
    good = frame.locator("#images > li", has_text="river.jpg")
    expect(frame.locator("#notes > li")).to_have_count(0)
    expect(good.locator(".state")).to_have_text("done", timeout=60 * SECOND)
    expect(good.locator(".renditions a")).to_have_count(6)
    torn = frame.locator("#images > li", has_text="torn.jpg")
    expect(torn.locator(".state")).to_have_text("failed", timeout=60 * SECOND)
    expect(torn.locator(".reason")).to_contain_text("ends early: it was cut off")
    width = good.locator("img.thumb").evaluate("async (image) => { await image.decode(); return image.naturalWidth }")
    assert width == 128
    keep(page, "images-page")
    good.locator(".renditions a").first.click()
    large = frame.locator("#picture")
    width = large.evaluate("async (image) => { await image.decode(); return image.naturalWidth }")
    assert width == 1024
    keep(page, "images-large")
    frame.get_by_role("button", name="Close").click()
    expect(large).not_to_be_visible()
    expect(torn.get_by_role("button", name="Try again")).to_have_count(0)  # the same bytes would fail again
    torn.get_by_role("button", name="Delete").click()
    frame.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(torn).to_have_count(0, timeout=10 * SECOND)
    frame.get_by_role("button", name="Undo").click()
    expect(torn).to_have_count(1, timeout=10 * SECOND)
    torn.get_by_role("link", name="log").click()
    log = re.compile("/dags/resize_images/runs/[^/]+/tasks/resize/mapped/[0-9]+")
    expect(page).to_have_url(log, timeout=60 * SECOND)
    keep(page, "images-log")
    assert not faults
