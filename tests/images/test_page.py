"""The page Images in a real browser without Airflow: it asks before it deletes, on phones too, and axe."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, expect

from include.images import pages, undo
from include.images.recipes import Recipes
from tests.images import pictures
from tests.images.places import Place
from tests.images.test_api import Here
from tests.served import keep, served

pytestmark = pytest.mark.browser


@pytest.fixture
def here(dsn: str, place: Place) -> Here:
    """The interface and the page."""
    found = Here(dsn, place)
    found.app.include_router(pages.router(found.guards))
    return found


@pytest.fixture
def url(here: Here) -> Iterator[str]:
    """The page on a real server."""
    with served(here.app) as address:
        yield f"{address}/images.html"


def uploaded(browser: Browser, url: str, here: Here, width: int = 1280, theme: str = "light") -> Page:
    """The page with a picture that is done and one that is cut short."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.goto(url)
    photo = pictures.encoded(pictures.photo(1200, 900, 8))
    long = f"{'a river in the mountains of the far north ' * 2}.jpg"
    whole: FilePayload = {"name": long, "mimeType": "image/jpeg", "buffer": photo}
    torn: FilePayload = {"name": "torn.jpg", "mimeType": "image/jpeg", "buffer": photo[:9000]}
    page.locator("#files").set_input_files([whole, torn])
    expect(page.locator("#images > li")).to_have_count(2)
    here.resize()
    expect(page.locator(".state.done")).to_have_count(1, timeout=20_000)
    expect(page.locator(".state.failed")).to_have_count(1, timeout=20_000)
    return page


def test_it_asks_before_it_deletes(browser: Browser, url: str, here: Here) -> None:
    page = uploaded(browser, url, here)
    torn = page.locator("#images > li", has_text="torn.jpg")
    expect(torn.locator(".reason")).to_contain_text("The file is damaged or cut short: upload it again.")
    torn.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(torn).to_have_count(1)
    torn.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("You can undo this for ten minutes.")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(torn).to_have_count(0)
    page.locator("#notes").get_by_role("button", name="Undo").click()
    expect(page.locator("#images > li")).to_have_text([re.compile("torn"), re.compile("river")])  # in its place
    expect(page.locator("#notes > li")).to_have_count(0)
    text: FilePayload = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    page.locator("#files").set_input_files([text])
    note = page.locator("#notes > li")
    expect(note).to_have_count(1)
    note.get_by_role("button", name="Close").click()
    expect(note).to_have_count(0)
    page.context.close()


def test_failed_pictures_all_at_once(browser: Browser, url: str, here: Here) -> None:
    page = uploaded(browser, url, here)
    torn = page.locator("#images > li", has_text="torn.jpg")
    expect(torn.get_by_role("button", name="Try again")).to_have_count(0)  # the same bytes would fail again
    expect(page.get_by_role("button", name="Delete all")).to_be_hidden()
    page.get_by_role("button", name="Failed").click()
    expect(page.get_by_role("button", name="Delete all")).to_be_visible()
    expect(page.get_by_role("button", name="Try all again")).to_be_hidden()
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image_source SET code = 'timeout' WHERE state = 'failed'")
    expect(torn.get_by_role("button", name="Try again")).to_have_count(1)
    page.get_by_role("button", name="Try all again").click()
    expect(page.locator("#notes > li")).to_contain_text("1 picture will be tried again.")
    expect(page.locator("#empty")).to_have_text("No failed pictures.")
    here.resize()
    expect(torn).to_have_count(1, timeout=20_000)
    page.get_by_role("button", name="Delete all").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(torn).to_have_count(0)
    page.close()  # what was deleted goes all the same
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image SET deleted_at = deleted_at - interval '11 minutes'")
        assert undo.expire(connection, here.store) == 1


def test_names_are_searched_and_the_log_is_one_click_away(browser: Browser, url: str, here: Here) -> None:
    page = uploaded(browser, url, here)
    page.get_by_role("searchbox", name="Search by name").fill("TORN")
    expect(page.locator("#images > li")).to_have_count(1)
    page.get_by_role("searchbox", name="Search by name").fill("<b>odd")
    expect(page.locator("#empty")).to_have_text("No pictures with “<b>odd” in the name.")
    page.get_by_role("searchbox", name="Search by name").fill("")
    expect(page.locator("#images > li")).to_have_count(2)
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image_source SET airflow_run = 'asset__1+2', map_index = 3")
    log = page.locator("#images > li", has_text="torn.jpg").get_by_role("link", name="log")
    expect(log).to_have_attribute("href", re.compile(r"dags/resize_images/runs/asset__1%2B2/tasks/resize/mapped/3$"))
    at = page.locator("#images time").first
    expect(at).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"))
    expect(page.locator("#clock")).to_have_text("Times are in UTC.")
    page.context.close()


def test_many_are_deleted_and_tried_again_by_keyboard(browser: Browser, url: str, here: Here) -> None:
    page = uploaded(browser, url, here)
    expect(page.locator("#chosen")).to_be_hidden()
    page.get_by_role("checkbox", name="Select torn.jpg").focus()
    page.keyboard.press("Space")
    expect(page.locator("#how-many")).to_have_text("1 selected")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)  # the same bytes would fail again
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image_source SET code = 'timeout' WHERE state = 'failed'")
    expect(page.locator("#retry-chosen")).to_be_visible()  # what is ticked and where one is outlive a new look
    expect(page.get_by_role("checkbox", name="Select torn.jpg")).to_be_checked()
    expect(page.get_by_role("checkbox", name="Select torn.jpg")).to_be_focused()
    page.locator("#select-all").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#how-many")).to_have_text("2 selected")
    page.locator("#retry-chosen").press("Enter")
    expect(page.locator("#notes > li")).to_have_text(re.compile("^1 picture will be tried again."))
    expect(page.locator("#chosen")).to_be_hidden()
    here.resize()
    expect(page.locator(".state.failed")).to_have_count(1, timeout=20_000)
    page.get_by_role("checkbox", name="Select torn.jpg").check()
    page.locator("#select-all").press("Enter")
    page.locator("#delete-chosen").press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Delete 2 pictures?")
    page.keyboard.press("Escape")
    expect(page.locator("#images > li")).to_have_count(2)
    page.locator("#delete-chosen").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(page.locator("#images > li")).to_have_count(0)
    expect(page.locator("#chosen")).to_be_hidden()
    undo = page.locator("#notes").get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#images > li")).to_have_text([re.compile("torn"), re.compile("river")])
    page.get_by_role("checkbox", name="Select torn.jpg").check()
    page.locator("#clear").press("Enter")
    expect(page.get_by_role("checkbox", name="Select torn.jpg")).not_to_be_checked()
    page.context.close()


def test_a_set_and_a_focal_point_are_shown(browser: Browser, url: str, here: Here) -> None:
    tiny = {"side": 20, "formats": ["png"], "quality": {"max_bytes": 9}}
    here.recipes = Recipes.model_validate(
        {"renditions": {"large": {"side": 90}}, "sets": {"product": {"renditions": {"tiny": tiny}}}}
    )
    page = uploaded(browser, url, here)
    asked = {"recipes": "product", "focal": "0.3,0.667"}
    photo = pictures.encoded(pictures.photo(90, 60))
    httpx.post(url.replace("images.html", "images"), content=photo, params=asked, headers={"Authorization": "Bearer x"})
    here.resize()
    card = page.locator("#images > li").first
    expect(card.locator(".facts")).to_contain_text("recipes product · focal point 30 %, 67 %")
    expect(card.locator(".renditions")).to_contain_text("13 png, 1 kB, target not reached", timeout=20_000)
    page.context.close()


def test_tags_are_shown_and_lead_to_others(browser: Browser, url: str, here: Here) -> None:
    page = uploaded(browser, url, here)
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("UPDATE millrace.image SET tags = '{sea,<b>odd}' WHERE file_name = 'torn.jpg'")
        connection.execute("UPDATE millrace.image SET tags = '{sea}' WHERE file_name <> 'torn.jpg'")
    torn = page.locator("#images > li", has_text="torn.jpg")
    expect(torn.locator(".tags button")).to_have_text(["#sea", "#<b>odd"])
    torn.get_by_role("button", name="#<b>odd").click()
    expect(page.locator("#images > li")).to_have_count(1)
    torn.get_by_role("button", name="#sea").click()
    expect(page.locator("#tags button")).to_have_text([re.compile("^#<b>odd"), re.compile("^#sea")])
    page.get_by_role("button", name="Failed").click()
    page.get_by_role("button", name="Delete all").click()
    expect(page.get_by_role("dialog")).to_contain_text("All failed pictures tagged #<b>odd #sea are deleted.")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Show pictures without the tag <b>odd too").click()
    expect(page.locator("#images > li")).to_have_count(2)
    page.get_by_role("button", name="Show pictures without the tag sea too").click()
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill("#none")
    search.press("Enter")
    expect(page.locator("#empty")).to_have_text("No pictures tagged #none.")
    page.locator("#tags button").click()
    search.fill("# <b>odd")
    search.press("Enter")
    expect(page.locator("#images > li")).to_have_count(1)
    assert Axe().run(page).violations_count == 0
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Browser, url: str, here: Here, width: int, theme: str) -> None:
    page = uploaded(browser, url, here, width, theme)
    page.get_by_role("button", name="Failed").click()
    page.get_by_role("button", name="Delete all").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#notes").get_by_role("button", name="Undo")).to_be_focused()
    keep(page, f"images-undo-{width}-{theme}")
    assert Axe().run(page).violations_count == 0
    page.keyboard.press("Enter")
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#images > li")).to_have_count(2)
    page.get_by_role("checkbox", name="Select torn.jpg").check()
    keep(page, f"images-{width}-{theme}")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
