"""How the files of a page are served: kept by browsers until they change."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from playwright.sync_api import Browser

from include import pages
from include.pages.methods import add_methods
from tests.served import served

PAGE = '<script src="theme.js"></script><link rel="stylesheet" href="a.css"><a href="docs">x</a><a href="#/runs">y</a>'


def test_a_browser_keeps_the_files_of_a_page_until_they_change(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "a.css").write_text("p {}")
    app = FastAPI()
    app.include_router(pages.router(tmp_path, ("a.html", "a.css"), lambda: None, prefix="/a"))
    with served(app) as url, httpx.Client(base_url=url) as client:

        def named() -> list[str]:
            answer = client.get("/a/a.html")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["content-type"].startswith("text/html")
            assert 'href="docs"' in answer.text
            assert 'href="#/runs"' in answer.text
            return re.findall(r'"(files-\w+/[\w.]+)"', answer.text)

        first = named()
        assert [one.rpartition("/")[2] for one in first] == ["theme.js", "a.css"]
        for one in first:
            answer = client.get(f"/a/{one}")
            assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        (tmp_path / "a.css").write_text("q {}")
        second = named()
        assert not {*first} & {*second}
        old = client.get(f"/a/{first[1]}")
        assert (old.text, old.headers["cache-control"]) == ("q {}", "no-cache")
        assert client.get("/a/files-x/none.css").status_code == 404
        assert client.get("/a/files-x/..%2Fa.css").status_code == 404


@pytest.mark.browser
def test_a_browser_asks_for_the_page_alone_when_it_comes_again(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<script src="theme.js"></script><script type="module" src="a.js"></script>')
    (tmp_path / "a.js").write_text('import { word } from "./b.js"; document.title = word;')
    (tmp_path / "b.js").write_text('export const word = "first";')
    app, asked = FastAPI(), list[str]()

    @app.middleware("http")
    async def note(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        asked.append(request.url.path.rpartition("/")[2])
        return await go_on(request)

    app.include_router(pages.router(tmp_path, ("a.html", "a.js", "b.js"), lambda: None, prefix="/a"))
    with served(app) as url:
        context = browser.new_context()
        page = context.new_page()
        seen = []
        for text in ("first", "first", "other"):
            (tmp_path / "b.js").write_text(f'export const word = "{text}";')
            asked.clear()
            page.goto("about:blank")
            page.goto(f"{url}/a/a.html")
            page.wait_for_function("text => document.title === text", arg=text)
            seen.append(sorted(name for name in asked if name != "favicon.ico"))
        context.close()
    everything = ["a.html", "a.js", "b.js", "theme.js"]
    assert seen == [everything, ["a.html"], everything]


def test_head_makes_nothing_that_is_made_as_it_is_sent() -> None:
    app, made = FastAPI(), list[str]()

    @app.get("/rows.csv")
    async def rows() -> StreamingResponse:
        def lines() -> Iterator[str]:
            made.append("row")
            yield "row"

        return StreamingResponse(lines(), media_type="text/csv", headers={"ETag": "x"})

    add_methods(app)
    with served(app) as url, httpx.Client(base_url=url) as client:
        head = client.head("/rows.csv")
        assert (head.status_code, head.content, made) == (200, b"", [])
        got = client.get("/rows.csv")
        assert (got.text, made) == ("row", ["row"])
        assert [head.headers[name] for name in ("content-type", "etag")] == ["text/csv; charset=utf-8", "x"]
        assert client.head("/none").status_code == 404
