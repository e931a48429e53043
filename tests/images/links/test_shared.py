"""What anybody gets by a link, and that whatever is wrong with one looks the same."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from include.images import inbox, work
from include.images.limits import LIMITS
from include.images.links.signing import Keys
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.gate import Gate
from tests.images.links.outside import KEY, OTHER, token
from tests.images.test_api import Here, both_kinds


def links(client: httpx.Client, image: str, **parameters: Any) -> dict[str, Any]:
    """Links that the service makes."""
    answer = client.post(f"/images/{image}/links", params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(answer: httpx.Response) -> tuple[Any, ...]:
    """All of an answer but when it came."""
    return answer.status_code, answer.content, tuple(sorted((k, v) for k, v in answer.headers.items() if k != "date"))


@both_kinds
def test_a_link_shows_each_rendition_to_anybody(
    url: str, client: httpx.Client, anybody: httpx.Client, image: str
) -> None:
    found, picture = links(client, image), client.get(f"/images/{image}").json()
    assert [one["name"] for one in found["renditions"]] == ["large", "large", "small"]
    assert found["id"] == image
    for one, own in zip(found["renditions"], picture["renditions"], strict=True):
        assert one["url"].startswith(f"{url}/shared/")
        assert {**one, "url": ""} == {**own, "url": ""}
        file, asked, by_login = anybody.get(one["url"]), anybody.head(one["url"]), client.get(own["url"])
        assert (file.status_code, file.content) == (200, by_login.content)
        same = ("etag", "content-type", "x-content-type-options", "content-security-policy", "accept-ranges")
        assert {name: file.headers[name] for name in same} == {name: by_login.headers[name] for name in same}
        assert file.headers["etag"] == f'"{hashlib.sha256(file.content).hexdigest()}"'
        assert file.headers["access-control-allow-origin"] == "*"
        assert file.headers["cross-origin-resource-policy"] == "cross-origin"
        assert {"set-cookie", "content-disposition", "vary"} & file.headers.keys() == set()
        assert (asked.status_code, asked.content, asked.headers["content-length"]) == (200, b"", str(one["bytes"]))
        part = anybody.get(one["url"], headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, file.content[10:20])
        assert anybody.get(one["url"], headers={"Range": f"bytes={one['bytes']}-"}).status_code == 416
        known = anybody.get(one["url"], headers={"If-None-Match": file.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        assert known.headers["cache-control"].startswith("public")
    urls = {one["url"] for one in found["renditions"] if one["format"] == "webp"}
    assert {part.split()[0] for part in found["srcset"]["webp"].split(", ")} == urls
    assert [part.split()[1] for part in found["srcset"]["webp"].split(", ")] == ["50w", "100w"]


def test_one_made_outside_is_as_good(anybody: httpx.Client, image: str) -> None:
    assert anybody.get(f"/shared/{token(image)}/large.jpg").status_code == 200


def test_whatever_is_wrong_looks_the_same(client: httpx.Client, anybody: httpx.Client, image: str, here: Here) -> None:
    other = client.post("/images", content=pictures.encoded(pictures.photo(seed=2))).json()["images"][0]["id"]
    with psycopg.connect(here.dsn, autocommit=True) as connection:  # of a recipe that this one alone has
        (batch,) = inbox.open_batches(connection, 1)
        work.resize_batch(connection, here.store, Recipes(renditions={"own": Recipe(side=20)}), batch)
    good, digest = token(image), client.get(f"/images/{image}").json()["source"]["digest"]
    assert anybody.get(f"/shared/{good}/large.jpg").status_code == 200
    assert anybody.get(f"/shared/{token(other)}/own.jpg").status_code == 200
    wrong = [
        f"{token(image, OTHER)}/large.jpg", f"{token(image, lives=-1)}/large.jpg", f"{token(image, lives=0)}/large.jpg",
        f"{token(image, mark=1)}/large.jpg", f"{token(str(uuid4()))}/large.jpg", f"{good}/own.jpg",
        f"{token(other)}/large.jpg", f"{good}/none.jpg", f"{good}/large.png", f"{good}/large", f"{good}/original",
        f"{good}/{digest}", f"{good}/large.jpg%00", f"{good}/%00", f"{good}/large.jpg%0A", f"{good}/LARGE.jpg",
        f"{good}/été.jpg", f"{good}/{'a' * 5000}.jpg", f"{good[:-1]}/large.jpg", f"{good}A/large.jpg",
        f"{good[:30]}/large.jpg", f"{good}=/large.jpg", f"{good}%0A/large.jpg", f"{good[:-1]}é/large.jpg",
        f"{good[:-1]}%FF/large.jpg", f"{'A' * 60_000}/large.jpg", f"{'x' * 68}/large.jpg", "%00/large.jpg",
        f"{image}/large.jpg",
    ]  # fmt: skip
    found = {told(anybody.get(f"/shared/{path}")) for path in wrong}
    here.keys = None
    found.add(told(anybody.get(f"/shared/{good}/large.jpg")))
    here.keys = Keys(OTHER)
    found.add(told(anybody.get(f"/shared/{good}/large.jpg")))
    here.keys = Keys(KEY)
    client.delete(f"/images/{image}/links")
    found.add(told(anybody.get(f"/shared/{good}/large.jpg")))
    ((status, body, headers),) = found
    assert (status, body) == (404, b'{"detail":"Not Found"}')
    assert dict(headers)["cache-control"] == "no-store"
    heads = {told(anybody.head(f"/shared/{path}")) for path in wrong}
    assert heads == {(404, b"", headers)}
    with_login = {told(client.get(f"/shared/{path}")) for path in wrong}
    assert with_login == found, "a login makes no difference"
    for path in (f"{good}/..%2F..%2Fimages", f"{good}/..%2fsource%2f{digest[:2]}%2f{digest}", f"{good}/a/b.jpg", good):
        answer = anybody.get(f"/shared/{path}")
        assert (answer.status_code, answer.content) == (status, body), "also where there is no route"


def test_what_can_be_no_link_asks_no_database(anybody: httpx.Client, image: str, here: Here) -> None:
    asked: list[int] = []
    service = here.service
    assert service is not None
    ask = service.links._ask

    def counted() -> Keys | None:
        asked.append(1)
        return ask()

    service.links._ask = counted
    for path in ("A" * 67 + "/a.jpg", "A" * 69 + "/a.jpg", f"{token(image)}/large.gif", "é" * 68 + "/a.jpg"):
        assert anybody.get(f"/shared/{path}").status_code == 404
    assert asked == []
    assert anybody.get(f"/shared/{'A' * 68}/large.jpg").status_code == 404
    assert asked == [1]


def test_a_link_ends_when_it_says(client: httpx.Client, anybody: httpx.Client, image: str) -> None:
    for parameters, seconds in (({}, 3600), ({"seconds": 1}, 1), ({"seconds": LIMITS.link_seconds}, 30 * 86_400)):
        before = time.time()
        found = links(client, image, **parameters)
        ends = datetime.fromisoformat(found["expires_at"]).astimezone(UTC).timestamp()
        assert before + seconds - 1 <= ends <= time.time() + seconds
        url = found["renditions"][0]["url"]
        if seconds > 1:
            cached = anybody.get(url).headers["cache-control"]
            assert cached.startswith("public, max-age=")
            assert seconds - 60 < int(cached.partition("=")[2]) <= seconds or cached.endswith("=3600")
            continue
        while time.time() < ends:
            time.sleep(0.05)
        assert anybody.get(url).status_code == 404
    soon = anybody.get(f"/shared/{token(image, lives=90)}/large.jpg").headers["cache-control"]
    assert int(soon.partition("=")[2]) <= 90, "no cache has it any longer"
    for wrong in (0, -1, LIMITS.link_seconds + 1, "x", 1.5, 10**30):
        assert client.post(f"/images/{image}/links", params={"seconds": wrong}).status_code == 422


def test_no_cache_may_keep_what_comes_with_a_login(anybody: httpx.Client, image: str) -> None:
    answer = anybody.get(f"/shared/{token(image)}/large.jpg", headers={"Cookie": "_token=x"})
    assert (answer.status_code, answer.headers["cache-control"][:8]) == (200, "private,")


def test_links_are_revoked(client: httpx.Client, anybody: httpx.Client, image: str, here: Here) -> None:
    other = client.post("/images", content=pictures.encoded(pictures.photo(seed=2))).json()["images"][0]["id"]
    here.resize()
    old, spared = (links(client, one)["renditions"][0]["url"] for one in (image, other))
    assert client.delete(f"/images/{image}/links").status_code == 204
    assert [anybody.get(url).status_code for url in (old, spared)] == [404, 200]
    new = links(client, image)["renditions"][0]["url"]
    assert anybody.get(new).status_code == 200
    here.keys = None
    assert client.delete(f"/images/{image}/links").status_code == 204, "also while links are off"
    here.keys = Keys(KEY)
    assert [anybody.get(url).status_code for url in (old, new)] == [404, 404]
    assert anybody.get(f"/shared/{token(image)}/large.jpg").status_code == 404, "the first ones, too"
    assert client.delete(f"/images/{uuid4()}/links").status_code == 404


def test_another_key_revokes_all_unless_the_one_before_stays(
    client: httpx.Client, anybody: httpx.Client, image: str, here: Here
) -> None:
    old = links(client, image)["renditions"][0]["url"]
    here.keys = Keys(OTHER, KEY)
    new = links(client, image)["renditions"][0]["url"]
    assert [anybody.get(url).status_code for url in (old, new)] == [200, 200]
    here.keys = Keys(OTHER)
    assert [anybody.get(url).status_code for url in (old, new)] == [404, 200]
    here.keys = None
    assert anybody.get(new).status_code == 404


def test_a_deleted_picture_is_not_shown_until_it_is_restored(
    client: httpx.Client, anybody: httpx.Client, image: str
) -> None:
    url = links(client, image)["renditions"][0]["url"]
    undo = client.delete(f"/images/{image}", params={"undo": True}).json()["undo"]
    assert anybody.get(url).status_code == 404
    assert client.post(f"/images/{image}/links").status_code == 404
    assert client.delete(f"/images/{image}/links").status_code == 404
    client.post(f"/undo/{undo}")
    assert anybody.get(url).status_code == 200
    client.delete(f"/images/{image}")
    assert anybody.get(url).status_code == 404


def test_a_link_outlives_other_recipes_as_far_as_its_file_does(
    client: httpx.Client, anybody: httpx.Client, image: str, here: Here
) -> None:
    large, _, small = (one["url"] for one in links(client, image)["renditions"])
    before = anybody.get(large)
    other = Recipes(renditions={"large": Recipe(side=80), "extra": Recipe(side=40, formats=("png",))})
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        assert inbox.remake(connection, other) == 1
        for batch in inbox.open_batches(connection, 1):
            work.resize_batch(connection, here.store, other, batch)
    after = anybody.get(large)
    assert (after.status_code, after.content == before.content) == (200, False)
    assert after.headers["etag"] != before.headers["etag"]
    assert anybody.get(small).status_code == 404
    assert anybody.get(large.replace("large.jpg", "extra.png")).status_code == 200


def test_without_a_key_or_renditions_there_are_no_links(client: httpx.Client, image: str, here: Here) -> None:
    torn = client.post("/images", content=pictures.encoded(pictures.photo(seed=3))[:5000]).json()["images"][0]["id"]
    answer = client.post(f"/images/{torn}/links")
    assert (answer.status_code, "it has no renditions" in answer.json()["detail"]) == (409, True)
    assert client.post(f"/images/{uuid4()}/links").status_code == 404
    here.keys = None
    answer = client.post(f"/images/{image}/links")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "links are off: make the Connection image_links, whose password signs them"


def test_a_short_key_is_told_to_who_makes_links_and_to_nobody_else(
    client: httpx.Client, anybody: httpx.Client, image: str, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    assert here.service is not None
    here.service.links._ask = lambda: Keys("short")
    answer = client.post(f"/images/{image}/links")
    assert answer.status_code == 409
    assert "has 5 characters" in answer.json()["detail"]
    assert anybody.get(f"/shared/{token(image)}/large.jpg").content == b'{"detail":"Not Found"}'
    assert "links are off: the password of the Connection image_links has 5 characters" in caplog.text
    assert token(image)[:20] not in caplog.text


def test_another_site_makes_no_links_by_a_users_cookie(client: httpx.Client, image: str) -> None:
    with httpx.Client(base_url=client.base_url, headers={"Origin": "https://evil.example"}) as evil:
        assert evil.post(f"/images/{image}/links").status_code == 403
        assert evil.delete(f"/images/{image}/links").status_code == 403


def test_links_begin_with_the_address_that_users_reach(client: httpx.Client, image: str, here: Here) -> None:
    assert here.service is not None
    here.service.base_url = "https://airflow.example/below/millrace"
    found = links(client, image)
    assert found["renditions"][0]["url"].startswith("https://airflow.example/below/millrace/shared/")
    assert found["srcset"]["jpeg"].startswith("https://airflow.example/below/millrace/shared/")


@pytest.mark.parametrize("kind", ["gate"])
def test_a_store_out_of_reach_is_no_wrong_link(anybody: httpx.Client, image: str, here: Here, gate: Gate) -> None:
    gate.shut()
    answer = anybody.get(f"/shared/{token(image)}/large.jpg")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    gate.open()
    assert anybody.get(f"/shared/{token(image)}/large.jpg").status_code == 200


def test_a_file_that_is_gone_is_as_a_wrong_link(
    client: httpx.Client, anybody: httpx.Client, image: str, here: Here
) -> None:
    here.store.drop(client.get(f"/images/{image}").json()["source"]["digest"])
    gone, wrong = (anybody.get(f"/shared/{one}/large.jpg") for one in (token(image), token(image, OTHER)))
    assert told(gone) == told(wrong)


def test_which_methods_there_are_is_told_of_the_right_route(client: httpx.Client, anybody: httpx.Client) -> None:
    for path, allowed in (
        (f"/images/{uuid4()}/links", "DELETE, OPTIONS, POST"), (f"/images/{uuid4()}/original", "GET, HEAD, OPTIONS"),
        ("/shared/x/y", "GET, HEAD, OPTIONS"),
    ):  # fmt: skip
        assert anybody.options(path).headers["allow"] == allowed
