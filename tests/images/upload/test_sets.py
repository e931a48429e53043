"""Sets of recipes and focal points: each upload gets its own renditions, and a source those for all of them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from PIL import Image

from include.images import catalogue, inbox
from include.images.engine.decode import Facts
from include.images.engine.render import Rendered
from include.images.errors import RecipeError
from include.images.find import facts
from include.images.limits import LIMITS
from include.images.recipes import Recipes
from include.images.upload.sweep import sweep
from include.warehouse import migrate
from tests.images import pictures
from tests.images.test_api import Here
from tests.waiting import until

PHOTO = pictures.encoded(pictures.quarters(), "PNG")
DIGEST = hashlib.sha256(PHOTO).hexdigest()
PNG = {"formats": ["png"]}
SQUARE = {"box": [50, 50], "fit": "cover", "crop": "focal", **PNG}
FILE: dict[str, Any] = {
    "renditions": {"large": {"side": 100, **PNG}},
    "sets": {"product": {"renditions": {"large": {"side": 80, **PNG}, "square": SQUARE}}},
    "owners": {"bob": "product"},
}


@pytest.fixture
def here(here: Here) -> Here:
    here.recipes = Recipes.model_validate(FILE)
    return here


def upload(client: httpx.Client, **asked: str) -> str:
    answer = client.post("/images", content=PHOTO, params=asked)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["images"][0]["id"])


def made(client: httpx.Client, image: str) -> dict[str, Image.Image]:
    """What the interface shows of a picture that is done: its renditions by name."""
    found = client.get(f"/images/{image}").json()
    assert found["state"] == "done", found
    return {one["name"]: Image.open(io.BytesIO(client.get(one["url"]).content)) for one in found["renditions"]}


def test_a_source_under_two_sets_gets_the_renditions_of_both(client: httpx.Client, here: Here) -> None:
    first = upload(client)
    here.resize()
    assert {name: image.size for name, image in made(client, first).items()} == {"large": (100, 50)}
    second = upload(client, recipes="product")
    assert client.get(f"/images/{second}").json()["state"] == "accepted"
    here.resize()
    assert {name: image.size for name, image in made(client, first).items()} == {"large": (100, 50)}
    assert {name: image.size for name, image in made(client, second).items()} == {"large": (80, 40), "square": (50, 50)}
    assert [client.get(f"/images/{image}").json()["recipes"] for image in (first, second)] == ["default", "product"]
    before = here.place.stored()
    again = upload(client, recipes="product")
    assert client.get(f"/images/{again}").json()["state"] == "done", "the same once more costs nothing"
    for image in (first, second, again):
        assert client.delete(f"/images/{image}").status_code == 204
    assert len(before) == 4
    assert here.place.stored() == []


def test_a_user_has_a_set(client: httpx.Client, here: Here) -> None:
    here.owner = "bob"
    images = [upload(client), upload(client, recipes="default")]
    here.resize()
    assert [set(made(client, image)) for image in images] == [{"large", "square"}, {"large"}]


def test_each_upload_has_its_focal_point(client: httpx.Client, here: Here) -> None:
    images = [
        upload(client, recipes="product", focal="0.1,0.5"), upload(client, recipes="product", focal="0.9,0.5"),
        upload(client, focal="0,1"),
    ]  # fmt: skip
    here.resize()
    left, right = (made(client, image)["square"] for image in images[:2])
    assert [square.getpixel((25, 5)) for square in (left, right)] == [(255, 0, 0), (0, 255, 0)]
    assert client.get(f"/images/{images[0]}").json()["focal"] == [0.1, 0.5]
    assert made(client, images[2])["large"].size == (100, 50)
    assert len(here.place.stored()) == 1 + 2 + 1 + 1, "the source, two squares, and what is the same for both"


@pytest.mark.parametrize(("asked", "said"), [
    ({"recipes": "avatar"}, "there is no set of recipes 'avatar'; there are: default, product"),
    ({"recipes": ""}, "there is no set of recipes ''"),
    ({"focal": "0.5"}, "focal"), ({"focal": "1.1,0"}, "focal"), ({"focal": "nan,0"}, "focal"),
    ({"focal": "0.5,0.5,0.5"}, "focal"), ({"focal": "-0,0"}, "focal"),
])  # fmt: skip
def test_what_can_not_be_chosen_is_told(client: httpx.Client, here: Here, asked: dict[str, str], said: str) -> None:
    answer = client.post("/images", content=PHOTO, params=asked)
    assert answer.status_code == 422
    assert said in str(answer.json()["detail"])
    assert here.place.stored() == []


def test_a_recipe_file_that_is_wrong_is_nobodys_fault(client: httpx.Client, here: Here) -> None:
    def wrong() -> Recipes:
        raise RecipeError("/srv/recipes.yaml: renditions: what it is")

    here.service = replace(here.serve(), recipes=wrong)
    answer = client.post("/images", content=PHOTO)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "/srv" not in answer.text


def test_one_picture_is_made_for_a_few_points_only(client: httpx.Client, here: Here) -> None:
    here.limits = replace(LIMITS, choices=2)
    upload(client, focal="0,0")
    upload(client, focal="0,1")
    answer = client.post("/images", content=PHOTO, params={"focal": "1,1"})
    assert answer.status_code == 422
    assert "2 sets or focal points already" in answer.json()["detail"]
    upload(client, focal="0,1")
    upload(client)
    here.resize()
    assert client.get("/counts").json()["done"] == 1


def test_a_changed_set_makes_only_its_own_pictures_anew(
    client: httpx.Client, here: Here, warehouse: psycopg.Connection
) -> None:
    other = pictures.encoded(pictures.photo(120, 80), "PNG")
    plain = client.post("/images", content=other).json()["images"][0]["id"]
    product = upload(client, recipes="product", focal="0.1,0.5")
    here.resize()
    assert inbox.remake(warehouse, here.recipes) == 0
    changed = {**FILE, "sets": {"product": {"renditions": {"square": {**SQUARE, "box": [40, 40]}}}}}
    here.recipes = Recipes.model_validate(changed)
    assert inbox.remake(warehouse, here.recipes) == 1
    assert client.get(f"/images/{plain}").json()["state"] == "done"
    here.resize()
    assert {name: image.size for name, image in made(client, product).items()} == {"square": (40, 40)}
    here.recipes = Recipes.model_validate({"renditions": FILE["renditions"]})
    assert inbox.remake(warehouse, here.recipes) == 1
    here.resize()
    assert set(made(client, product)) == {"large"}, "its set is gone"
    assert inbox.remake(warehouse, here.recipes) == 0
    assert len(here.place.stored()) == 4


def test_a_torn_file_is_done_for_the_sets_that_salvage(client: httpx.Client, here: Here) -> None:
    torn = pictures.encoded(pictures.photo())[:20_000]
    here.recipes = Recipes.model_validate(
        {**FILE, "sets": {"product": {"renditions": {"a": {"side": 50, "salvage": True}}}}}
    )
    images = [
        client.post("/images", content=torn, params=asked).json()["images"][0]["id"]
        for asked in ({}, {"recipes": "product"})
    ]
    here.resize()
    found = [client.get(f"/images/{image}").json() for image in images]
    assert [(one["state"], one["salvaged"], len(one["renditions"])) for one in found] == [
        ("done", True, 0),
        ("done", True, 2),
    ]
    assert client.get("/counts").json() == {"accepted": 0, "resizing": 0, "done": 1, "failed": 0}


def test_a_folder_gets_the_set_of_its_owner(warehouse: psycopg.Connection, here: Here, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(PHOTO)
    sweep(warehouse, here.store, tmp_path / "in", owner="sweep", recipes="product")
    here.resize()
    assert warehouse.execute("SELECT DISTINCT recipes FROM millrace.image_rendition").fetchall() == [("product",)]


RENDERED = Rendered(Facts("PNG", 8, 8, 1, alpha=False, orientation=1), (), "data:", still=False)


def claimed(warehouse: psycopg.Connection, dsn: str) -> UUID:
    """A batch with the source, uploaded for the file's own recipes."""
    asyncio.run(accept(dsn, ""))
    batch = uuid4()
    assert inbox.claim(warehouse, batch) == 1
    assert inbox.choices(warehouse, DIGEST) == [""]
    return batch


async def accept(
    dsn: str, choice: str, held: threading.Event | None = None, let: threading.Event | None = None
) -> None:
    """As an upload does; with events, it says when it holds its locks and waits before it commits."""
    upload = catalogue.Upload(uuid4(), DIGEST, 1, "ann", "a.png", None, choice)
    async with await psycopg.AsyncConnection.connect(dsn, application_name="of the test") as connection:
        await catalogue.accept(connection, [upload])
        if held is not None and let is not None:
            held.set()
            await asyncio.to_thread(let.wait, 20)


def state(warehouse: psycopg.Connection) -> Any:
    return warehouse.execute("SELECT state FROM millrace.image_source").fetchall()


def waits(warehouse: psycopg.Connection) -> bool:
    row = warehouse.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'of the test' AND wait_event_type = 'Lock'"
    ).fetchone()
    return row == (1,)


def test_an_upload_while_it_is_resized_is_not_forgotten(warehouse: psycopg.Connection, dsn: str, here: Here) -> None:
    batch = claimed(warehouse, dsn)
    asyncio.run(accept(dsn, "product"))
    assert inbox.finish(warehouse, batch, here.recipes, {DIGEST: {"": RENDERED}})[0] == 1
    assert state(warehouse) == [("accepted",)]


def test_an_upload_that_waits_for_the_task_is_not_forgotten(
    warehouse: psycopg.Connection, dsn: str, here: Here
) -> None:
    batch = claimed(warehouse, dsn)
    with psycopg.connect(dsn) as task:
        task.execute("SELECT")  # so that what follows is not committed by itself
        inbox.finish(task, batch, here.recipes, {DIGEST: {"": RENDERED}})
        thread = threading.Thread(target=lambda: asyncio.run(accept(dsn, "product")))
        thread.start()
        until(lambda: waits(warehouse), "the upload to wait")
        task.commit()
        thread.join()
    assert state(warehouse) == [("accepted",)]


def test_an_upload_that_the_task_waits_for_is_not_forgotten(
    warehouse: psycopg.Connection, dsn: str, here: Here
) -> None:
    batch, held, let = claimed(warehouse, dsn), threading.Event(), threading.Event()
    upload = threading.Thread(target=lambda: asyncio.run(accept(dsn, "product", held, let)))
    upload.start()
    assert held.wait(20)

    def finish() -> None:
        with psycopg.connect(dsn, autocommit=True, application_name="of the test") as task:
            inbox.finish(task, batch, here.recipes, {DIGEST: {"": RENDERED}})

    task = threading.Thread(target=finish)
    task.start()
    until(lambda: waits(warehouse), "the task to wait")
    let.set()
    upload.join()
    task.join()
    assert state(warehouse) == [("accepted",)]


def test_pictures_of_before_are_known_as_made(
    warehouse: psycopg.Connection, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the tables of an earlier version, filled as it did."""
    warehouse.execute("DROP SCHEMA millrace CASCADE")
    for file in migrate.MIGRATIONS.glob("*.sql"):
        if file.name < "0023":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with monkeypatch.context() as earlier:
        earlier.setattr(migrate, "MIGRATIONS", tmp_path)
        migrate.apply(warehouse)
    for digest, recipes, done in (
        (DIGEST, here.recipes.identity, "done"),
        ("0" * 64, "other", "done"),
        ("1" * 64, None, "failed"),
    ):
        warehouse.execute(
            "INSERT INTO millrace.image_source (digest, bytes, state, recipes) VALUES (%s, 1, %s, %s)",
            [digest, done, recipes],
        )
        warehouse.execute(
            "INSERT INTO millrace.image (image_id, digest, owner, file_name) VALUES (%s, %s, 'ann', 'a.png')",
            [uuid4(), digest],
        )
    assert "0025_recipe_sets" in migrate.apply(warehouse)
    warehouse.execute(  # which came later, too
        "INSERT INTO millrace.image_facts (digest, transparent, colours, method) VALUES (%s, false, '{}', %s)",
        [DIGEST, facts.method()],
    )
    assert inbox.remake(warehouse, here.recipes) == 1
    found = warehouse.execute("SELECT digest, state FROM millrace.image_source ORDER BY digest <> %s, digest", [DIGEST])
    assert [state for _, state in found] == ["done", "accepted", "failed"]


def test_an_upload_of_the_same_choice_leaves_what_is_done(warehouse: psycopg.Connection, dsn: str, here: Here) -> None:
    batch = claimed(warehouse, dsn)
    asyncio.run(accept(dsn, ""))
    inbox.finish(warehouse, batch, here.recipes, {DIGEST: {"": RENDERED}})
    asyncio.run(accept(dsn, ""))
    assert state(warehouse) == [("done",)]
