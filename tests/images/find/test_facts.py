"""What the bytes show, from an upload to columns, answers and callbacks; and of pictures that were made before."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from include.images import inbox, work
from include.images.callbacks import Callbacks, deliver
from include.warehouse.roles import ensure_role, let_read
from tests.images.facts import written
from tests.images.facts.test_capture import CAMERA, HAMBURG, MOMENT
from tests.images.facts.written import TAKEN, exif, text
from tests.images.test_api import PHOTO, RECIPES, Here
from tests.images.test_callbacks import BASE, Receiver

JPEG = written.file("JPEG", exif(CAMERA, MOMENT, HAMBURG))
TOLD = {
    "taken_at": "2026-03-01T12:30:05.250000+05:45", "camera_make": "Fuji photo", "camera_model": "X-T5",
    "lens": "XF 35mm", "latitude": None, "longitude": None, "profile": None, "transparent": False,
}  # fmt: skip


def upload(client: httpx.Client, data: bytes, **asked: Any) -> str:
    return str(client.post("/images", content=data, params=asked).json()["images"][0]["id"])


def rows(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    return (
        connection.cursor(row_factory=dict_row).execute("SELECT * FROM millrace.image_facts ORDER BY digest").fetchall()
    )


def test_columns_and_answers(client: httpx.Client, here: Here) -> None:
    image = upload(client, JPEG)
    assert client.get(f"/images/{image}").json()["facts"] is None
    here.resize()
    told = client.get(f"/images/{image}").json()["facts"]
    assert {**told, **TOLD} == told
    with psycopg.connect(here.dsn) as connection:
        (row,) = rows(connection)
    assert row["taken_at"] == datetime(2026, 3, 1, 12, 30, 5, 250000)
    assert row["taken_offset"] == timedelta(hours=5, minutes=45)
    assert (row["colours"], f"{row['perceptual_hash'] % 2**64:016x}") == (told["colours"], told["perceptual_hash"])
    assert client.get("/images").json()["images"][0]["facts"] == told
    assert client.delete(f"/images/{image}").status_code == 204
    with psycopg.connect(here.dsn) as connection:
        assert rows(connection) == [], "they go with the picture"


def test_a_time_without_a_zone_is_told_without_one(client: httpx.Client, here: Here) -> None:
    image = upload(client, written.file("PNG", exif({}, {TAKEN: text("2026:07:01 09:00:00")})))
    here.resize()
    assert client.get(f"/images/{image}").json()["facts"]["taken_at"] == "2026-07-01T09:00:00"


def test_callbacks_have_them(client: httpx.Client, here: Here, receiver: Receiver) -> None:
    here.callbacks = Callbacks("shared secret", (receiver.origin,))
    done = upload(client, JPEG, callback_url=f"{receiver.origin}/x", tag="a", metadata="k:v")
    torn = upload(client, PHOTO[:5000], callback_url=f"{receiver.origin}/x")
    here.resize()
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        assert deliver(connection, here.callbacks, BASE)["delivered"] == 2
    told = {body["id"]: body for _, body in receiver.got}
    assert (told[done]["tags"], told[done]["metadata"]) == (["a"], {"k": "v"})
    assert told[done]["facts"] == json.loads(json.dumps(client.get(f"/images/{done}").json()["facts"]))
    assert (told[torn]["tags"], "facts" in told[torn], told[torn]["code"]) == ([], False, "broken")


def test_the_position_is_kept_only_if_asked_for(
    client: httpx.Client, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = upload(client, JPEG)

    def everything() -> tuple[float | None, float | None]:
        with psycopg.connect(here.dsn, autocommit=True) as connection:
            inbox.remake(connection, RECIPES)
        here.resize()
        told = client.get(f"/images/{image}").json()
        assert told["state"] == "done"
        return told["facts"]["latitude"], told["facts"]["longitude"]

    here.resize()
    assert everything() == (None, None)
    monkeypatch.setenv("MILLRACE_IMAGE_POSITION", "on")
    assert everything() == (53.56, -9.9833333)
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        assert inbox.remake(connection, RECIPES) == 0, "it is known"
    monkeypatch.setenv("MILLRACE_IMAGE_POSITION", "off")
    assert everything() == (None, None)


def test_pictures_made_before_are_looked_at_by_a_run_with_everything(client: httpx.Client, here: Here) -> None:
    images = [upload(client, JPEG), upload(client, PHOTO)]
    here.resize()
    wanted = [client.get(f"/images/{image}").json() for image in images]
    stored = here.place.stored()
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM millrace.image_facts")
        assert client.get(f"/images/{images[0]}").json()["facts"] is None
        assert client.get(f"/images/{images[0]}/similar").status_code == 409
        assert inbox.remake(connection, RECIPES) == 2
    here.resize()
    for image, before in zip(images, wanted, strict=True):
        after = client.get(f"/images/{image}").json()
        assert {**after, "finished_at": before["finished_at"]} == before
    assert here.place.stored() == stored


def test_pages_may_read_them(client: httpx.Client, here: Here, postgres: Any) -> None:
    upload(client, JPEG, tag="a")
    here.resize()
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        ensure_role(superuser, "pages", "only-reads")
    with psycopg.connect(here.dsn, autocommit=True) as owner:
        let_read(owner, "pages")
    with psycopg.connect(make_conninfo(here.dsn, user="pages", password="only-reads"), autocommit=True) as reader:
        query = "SELECT tags, metadata, camera_model FROM millrace.image JOIN millrace.image_facts USING (digest)"
        assert reader.execute(query).fetchall() == [(["a"], {}, "X-T5")]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("UPDATE millrace.image_facts SET lens = ''")


def test_a_wrong_switch_ends_the_task(here: Here, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    image = upload(client, JPEG)
    monkeypatch.setenv("MILLRACE_IMAGE_POSITION", "maybe")
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        (batch,) = inbox.open_batches(connection, 1)
        with pytest.raises(Exception, match="'maybe' is neither on nor off"):
            work.resize_batch(connection, here.store, RECIPES, batch)
        monkeypatch.delenv("MILLRACE_IMAGE_POSITION")
        assert work.resize_batch(connection, here.store, RECIPES, batch)["done"] == 1
    assert client.get(f"/images/{image}").json()["state"] == "done"
