"""The page "Use it from your web app": its code as it stands there, and its picture in a browser on another site."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser

from tests.docs.fences import written_in
from tests.images import pictures
from tests.images.test_api import TOKEN, Here
from tests.served import served

PAGE = "docs/how-to/use-in-a-web-app.md"
PHOTO = pictures.encoded(pictures.photo())
LOOK = """async () => {
    const image = document.querySelector('img');
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').drawImage(image, 0, 0);
    let drawn = true;
    try { canvas.toDataURL() } catch { drawn = false }
    return {width: image.naturalWidth, source: image.currentSrc, drawn, cookies: document.cookie};
}"""


@pytest.fixture
def code() -> dict[str, Any]:
    """What the page's code defines."""
    (fence,) = (one for one in written_in("python") if one.page == PAGE)
    space: dict[str, Any] = {}
    exec(fence.text, space)
    return space


@contextmanager
def resizing(here: Here) -> Iterator[None]:
    """The DAG, which has its runs."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.1):
            here.resize()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def web_app(html: str) -> Iterator[str]:
    """A page of another site, which is this machine by another name."""
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return f"<!doctype html><title>Web app</title>{html}"

    with served(app) as url:
        yield url.replace("127.0.0.1", "localhost")


@pytest.mark.browser
def test_the_picture_is_shown_on_another_site_without_a_login(
    browser: Browser, url: str, here: Here, code: dict[str, Any]
) -> None:
    with httpx.Client(base_url=url, headers=TOKEN) as millrace, resizing(here):
        image = code["upload"](millrace, PHOTO)
        html = code["shown"](millrace, image)
        sent: list[dict[str, str]] = []
        for tag, drawn in ((html, False), (html.replace("<img ", "<img crossorigin "), True)):
            context = browser.new_context(viewport={"width": 400, "height": 300})
            context.on("request", lambda one: sent.append(one.headers))
            with web_app(tag) as other:
                page = context.new_page()
                page.goto(other)
                seen = page.evaluate(LOOK)
            assert seen["width"] > 0
            assert seen["source"].startswith(f"{url}/shared/")
            assert seen["source"].endswith(".webp"), "of the srcset"
            assert seen["drawn"] is drawn
            assert context.cookies() == []
            context.close()
        assert len(sent) >= 4
        assert not [one for one in sent if {"cookie", "authorization"} & one.keys()]
        millrace.delete(f"/images/{image}/links").raise_for_status()
        with web_app(html) as other:
            page = browser.new_page()
            page.goto(other)
            assert page.evaluate("document.querySelector('img').decode().then(() => true, () => false)") is False
            page.close()


@pytest.mark.browser
def test_a_script_of_another_site_reads_it_and_no_picture_that_takes_a_login(
    browser: Browser, url: str, client: httpx.Client, image: str
) -> None:
    link = client.post(f"/images/{image}/links").json()["renditions"][0]["url"]
    own = f"{url}{client.get(f'/images/{image}').json()['renditions'][0]['url']}"
    read = """async url => {
        try {
            const answer = await fetch(url, {headers: {Range: 'bytes=0-9'}});
            return [answer.status, (await answer.arrayBuffer()).byteLength, answer.headers.get('Content-Range')];
        } catch { return 'refused' }
    }"""
    with web_app("") as other:
        page = browser.new_page()
        page.goto(other)
        status, size, part = page.evaluate(read, link)
        assert (status, size) == (206, 10)
        assert part.startswith("bytes 0-9/")
        assert page.evaluate(read, own) == "refused"
        assert page.evaluate(read, f"{url}/images/{image}/original") == "refused"
        assert page.evaluate(read, link.replace("/shared/", "/shared/x"))[0] == 404
        page.close()


def test_a_picture_that_can_not_be_read_is_told(url: str, here: Here, code: dict[str, Any]) -> None:
    refused = pytest.raises(ValueError, match="cut off")
    with httpx.Client(base_url=url, headers=TOKEN) as millrace, resizing(here), refused:
        code["upload"](millrace, PHOTO[:9000])
