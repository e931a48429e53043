"""How the files of a page are served: kept by browsers until they change."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from fastapi import FastAPI

from include import pages
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
