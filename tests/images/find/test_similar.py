"""Near-duplicates by route and by SQL: the nearest first, some at a time, and only what is there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import psycopg
from PIL import Image

from tests.docs.fences import REPOSITORY, of
from tests.images import pictures
from tests.images.engine.written import encoded
from tests.images.test_api import Here


def upload(client: httpx.Client, data: bytes) -> str:
    return str(client.post("/images", content=data).json()["images"][0]["id"])


def near(client: httpx.Client, image: str, **asked: Any) -> list[tuple[str, int]]:
    answer = client.get(f"/images/{image}/similar", params=asked)
    assert answer.status_code == 200, answer.text
    return [(one["id"], one["distance"]) for one in answer.json()["images"]]


def entered(connection: psycopg.Connection[Any], *hashes: int) -> list[str]:
    """Pictures that are done, with these hashes; their ids."""
    images = []
    for number in hashes:
        digest, image = uuid4().hex * 2, uuid4()
        connection.execute("INSERT INTO millrace.image_source (digest, bytes, state) VALUES (%s, 1, 'done')", [digest])
        connection.execute(
            "INSERT INTO millrace.image (image_id, digest, owner, file_name) VALUES (%s, %s, 'ann', 'a')",
            [image, digest],
        )
        connection.execute(
            "INSERT INTO millrace.image_facts (digest, transparent, colours, perceptual_hash, method)"
            " VALUES (%s, false, '{}', %s, '1')",
            [digest, number],
        )
        images.append(str(image))
    return images


def test_copies_are_found_and_others_are_not(client: httpx.Client, here: Here) -> None:
    photo = pictures.photo(900, 600, 3)
    first = upload(client, encoded(photo, "JPEG", quality=95))
    copies = [
        upload(client, encoded(photo.resize((450, 300), Image.Resampling.BICUBIC), "WEBP", quality=70)),
        upload(client, encoded(photo, "JPEG", quality=30)),
    ]
    again = upload(client, encoded(photo, "JPEG", quality=95))
    for seed in range(10, 18):
        upload(client, encoded(pictures.photo(900, 600, seed), "JPEG"))
    here.resize()
    found = near(client, first)
    assert found[0] == (again, 0), "the same bytes, uploaded by somebody else perhaps"
    assert {image for image, _ in found} == {again, *copies}
    told = client.get(f"/images/{first}/similar").json()["images"][0]
    assert {name: told[name] for name in told if name != "distance"} == client.get(f"/images/{again}").json()


def test_the_nearest_first_and_some_at_a_time(client: httpx.Client, here: Here) -> None:
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        one, *others = entered(connection, -1, -2, -1, -1 << 3, -1 << 8, -1 << 9, 0, 1 << 62, -1)
        entered(connection, -1)
        connection.execute("UPDATE millrace.image SET deleted_at = now() WHERE image_id <> ALL (%s)", [[one, *others]])
        connection.execute(
            "INSERT INTO millrace.image_source (digest, bytes, state) VALUES (repeat('f', 64), 1, 'done')"
        )
    wanted = [(others[7], 0), (others[1], 0), (others[0], 1), (others[2], 3), (others[3], 8)]
    assert near(client, one) == wanted
    assert near(client, one, distance=0) == wanted[:2]
    assert near(client, one, distance=9) == [*wanted, (others[4], 9)]
    assert near(client, others[5], distance=1) == [(others[6], 1)], "a bit of the upper half"
    page: dict[str, Any] = {"next": None}
    got = []
    while True:
        asked = {"limit": 1, **({"after": page["next"]} if page["next"] else {})}
        page = client.get(f"/images/{one}/similar", params=asked).json()
        got += [(found["id"], found["distance"]) for found in page["images"]]
        if page["next"] is None:
            break
    assert got == wanted


def test_the_documented_query_says_the_same(client: httpx.Client, here: Here) -> None:
    (query,) = (
        fence.text
        for fence in of(REPOSITORY / "docs" / "how-to" / "query-pictures-in-sql.md")
        if "AS distance" in fence.text
    )
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        one, *_ = entered(connection, -1, -2, 5, -1 << 3, -1 << 20)
        digests: dict[str, str] = dict(
            connection.execute("SELECT image_id::text, digest FROM millrace.image").fetchall()
        )
        asked = query.replace("repeat('1', 64)", f"'{digests[one]}'")
        assert asked != query
        assert connection.execute(asked).fetchall() == [(digests[image], far) for image, far in near(client, one)]


def test_what_can_not_be_compared_says_why(client: httpx.Client, here: Here) -> None:
    flat = upload(client, encoded(Image.new("RGB", (90, 60), "teal")))
    assert client.get(f"/images/{flat}/similar").status_code == 409
    assert "is accepted; only one that is done" in client.get(f"/images/{flat}/similar").json()["detail"]
    here.resize()
    answer = client.get(f"/images/{flat}/similar")
    assert (answer.status_code, "nearly of one colour" in answer.json()["detail"]) == (409, True)
    torn = upload(client, encoded(pictures.photo(), "JPEG")[:5000])
    here.resize()
    assert "is failed; only one that is done" in client.get(f"/images/{torn}/similar").json()["detail"]
    assert client.get(f"/images/{uuid4()}/similar").status_code == 404
    client.delete(f"/images/{flat}", params={"undo": True})
    assert client.get(f"/images/{flat}/similar").status_code == 404


def test_odd_parameters_are_refused(client: httpx.Client, here: Here) -> None:
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        (one,) = entered(connection, 5)
    end = "2026-01-01T00:00:00_00000000-0000-0000-0000-000000000000"
    for asked in (
        "distance=-1", "distance=33", "distance=x", "limit=0", "limit=201", "after=x", "after=1_2_3", "after=%00",
        f"after=99999999999_{end}", f"after=-1_{end}", f"after=33_{end}", f"after=1_0_{end}",
    ):  # fmt: skip
        assert client.get(f"/images/{one}/similar?{asked}").status_code == 422, asked
    assert near(client, one, after=f"1_{end}") == []
