"""From the list of work to renditions in the store, on a real PostgreSQL: claimed once, lost claims come again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.images import inbox, work
from include.images.engine.sandbox import Sandbox
from include.images.errors import Killed
from include.images.limits import LIMITS
from include.images.recipes import Recipe, Recipes, load_recipes
from include.images.store import FolderStore, Name, Store, StoreAway, StoreFull, rendition_key, source_key
from include.images.tidy import tidy
from include.images.upload.sweep import sweep
from tests.images import pictures
from tests.images.places import Place, bucket, open_store, s3

SMALL = Recipes(renditions={"small": Recipe(side=64)})


both_kinds = pytest.mark.parametrize("kind", ["folder", "s3"])


@pytest.fixture
def store(place: Place) -> Store:
    return place.store


def deliver(folder: Path, *files: bytes) -> list[str]:
    """Put files into a folder; their digests."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / f"{number}.jpg").write_bytes(data)
    return [hashlib.sha256(data).hexdigest() for data in files]


def states(connection: psycopg.Connection) -> dict[str, tuple[str, str | None]]:
    found = connection.execute("SELECT digest, state, code FROM millrace.image_source")
    return {digest: (state, code) for digest, state, code in found}


def do_all(connection: psycopg.Connection, store: Store, recipes: Recipes = SMALL) -> None:
    for batch in inbox.open_batches(connection, 2):
        work.resize_batch(connection, store, recipes, batch)


@both_kinds
def test_good_and_bad_pictures_side_by_side(
    warehouse: psycopg.Connection, place: Place, store: Store, tmp_path: Path
) -> None:
    good, broken, _ = deliver(
        tmp_path / "in", pictures.encoded(pictures.photo()), pictures.encoded(pictures.photo())[:3000], b"text"
    )
    assert sweep(warehouse, store, tmp_path / "in", owner="me") == {"taken": 2, "known": 0, "refused": 1}
    assert sweep(warehouse, store, tmp_path / "in", owner="me") == {"taken": 0, "known": 2, "refused": 1}
    do_all(warehouse, store)
    assert states(warehouse) == {good: ("done", None), broken: ("failed", "broken")}
    assert inbox.waiting(warehouse) == 0
    found = warehouse.execute("SELECT recipe, file, bytes, sha256 FROM millrace.image_rendition").fetchall()
    assert len(found) == 2
    for recipe, file, size, sha256 in found:
        data = store.read_rendition(good, recipe, file, 0, size + 1)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
    assert not list(store.scratch().iterdir())
    assert len(place.stored()) == 4


def test_a_file_is_read_again_only_when_it_has_changed(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    file = tmp_path / "in" / "0.jpg"
    assert sweep(warehouse, store, tmp_path / "in", owner="me")["taken"] == 1
    seen = file.stat()
    file.write_bytes(bytes(seen.st_size))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert sweep(warehouse, store, tmp_path / "in", owner="me")["known"] == 1, "it looks the same"
    file.touch()
    assert sweep(warehouse, store, tmp_path / "in", owner="me")["refused"] == 1
    deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    assert sweep(warehouse, store, tmp_path / "in", owner="me")["known"] == 1
    warehouse.execute("DELETE FROM millrace.image")
    warehouse.execute("DELETE FROM millrace.image_source WHERE digest = %s", [digest])
    assert sweep(warehouse, store, tmp_path / "in", owner="me")["taken"] == 1, "deleted, and delivered still"


def test_what_a_dead_task_claimed_is_claimed_again(warehouse: psycopg.Connection, store: Store, tmp_path: Path) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    (lost,) = inbox.open_batches(warehouse, 1)
    assert inbox.open_batches(warehouse, 1) == []
    warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
    (batch,) = inbox.open_batches(warehouse, 1)
    assert inbox.batch_of(warehouse, lost) == [], "the lost claim does nothing any more"
    assert work.resize_batch(warehouse, store, SMALL, batch)["done"] == 4
    assert work.resize_batch(warehouse, store, SMALL, batch)["done"] == 0, "what is done is not done twice"
    assert set(states(warehouse)) == set(digests)


def test_a_batch_that_is_worked_on_keeps_its_claim(warehouse: psycopg.Connection) -> None:
    for n in range(3):
        warehouse.execute("INSERT INTO millrace.image_source (digest, bytes) VALUES (%s, 1)", [f"{n:064x}"])
    batch = uuid4()
    inbox.claim(warehouse, batch)
    left = "SELECT min(claimed_until) > now() + %s * interval '1 second' FROM millrace.image_source"
    for step in (inbox.begin, inbox.rest):
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() + interval '60 seconds'")
        step(warehouse, batch, f"{0:064x}")
        assert warehouse.execute(left, [inbox.CLAIM_SECONDS - inbox.EXTEND_SECONDS]).fetchone() == (True,)


def test_two_claimers_share(warehouse: psycopg.Connection, dsn: str, store: Store, tmp_path: Path) -> None:
    for n in range(40):
        warehouse.execute("INSERT INTO millrace.image_source (digest, bytes) VALUES (%s, 1)", [f"{n:064x}"])
    found: list[UUID] = []

    def take() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            batch = uuid4()
            while inbox.claim(connection, batch, size=3):
                found.append(batch)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [digest for batch in set(found) for digest, _ in inbox.batch_of(warehouse, batch)]
    assert sorted(claimed) == [f"{n:064x}" for n in range(40)]


def test_a_killed_child_is_tried_three_times(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, store, tmp_path / "in", owner="me")

    def die(*_: object) -> None:
        raise Killed("timeout", "it took too long")

    monkeypatch.setattr(Sandbox, "render", die)
    do_all(warehouse, store)
    assert states(warehouse) == {digest: ("failed", "timeout")}
    assert warehouse.execute("SELECT attempts FROM millrace.image_source").fetchone() == (LIMITS.attempts,)


def test_a_picture_that_kills_its_worker_is_given_up(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer, *others = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(3)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    real = Sandbox.render

    def die(self: Sandbox, path: Path, folder: Path, choice: str) -> Any:
        if path == store.source(killer, tmp_path):
            raise SystemExit(9)
        return real(self, path, folder, choice)

    monkeypatch.setattr(Sandbox, "render", die)
    for _ in range(LIMITS.attempts):
        with pytest.raises(SystemExit):
            do_all(warehouse, store)
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
    do_all(warehouse, store)
    assert states(warehouse) == {killer: ("failed", "killed"), **dict.fromkeys(others, ("done", None))}


def test_pictures_that_wait_for_the_store_are_not_to_blame_for_a_death(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")

    def die(*_: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(store, "keep_renditions", die)
        with pytest.raises(SystemExit):
            do_all(warehouse, store)
    found = warehouse.execute("SELECT DISTINCT state, attempts FROM millrace.image_source").fetchall()
    assert found == [("resizing", 0)]
    assert not list(store.scratch().iterdir())


def test_one_picture_that_cant_be_stored_keeps_back_no_other(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    keep = store.keep_renditions

    def refuse_one(made: Mapping[Name, Path]) -> None:
        if any(name.digest == digests[1] for name in made):
            raise StoreAway("forbidden")
        keep(made)

    monkeypatch.setattr(store, "keep_renditions", refuse_one)
    (batch,) = inbox.open_batches(warehouse, 1)
    with pytest.raises(StoreAway):
        work.resize_batch(warehouse, store, SMALL, batch)
    assert states(warehouse) == {**dict.fromkeys(digests, ("done", None)), digests[1]: ("resizing", "store-away")}


def test_a_store_that_fails_at_each_picture_of_a_group_is_not_asked_for_all_of_them(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    asked: list[set[str]] = []

    def refuse(made: Mapping[Name, Path]) -> None:
        asked.append({name.digest for name in made})
        raise StoreAway("forbidden")

    monkeypatch.setattr(store, "keep_renditions", refuse)
    monkeypatch.setattr(work, "GROUP_SECONDS", 60.0)
    (batch,) = inbox.open_batches(warehouse, 1)
    with pytest.raises(StoreAway):
        work.resize_batch(warehouse, store, SMALL, batch)
    assert asked == [set(digests), *({digest} for digest in digests[: work.STALLS])]


def test_a_disk_that_is_full_in_the_middle_of_a_group_costs_no_attempt(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    replace, room = Path.replace, [3]

    def until_full(fresh: Path, place: Path) -> Path:
        if fresh.parent.parent.name.startswith("resize-") and not room[0]:
            raise OSError(errno.ENOSPC, "no room")
        room[0] -= fresh.parent.parent.name.startswith("resize-")
        return replace(fresh, place)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until_full)
        with pytest.raises(StoreFull):
            do_all(warehouse, store)
    rows = warehouse.execute("SELECT state, attempts FROM millrace.image_source WHERE state <> 'done'").fetchall()
    assert set(rows) == {("resizing", 0)}
    warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
    do_all(warehouse, store)
    assert states(warehouse) == dict.fromkeys(digests, ("done", None))


def test_uploads_come_before_a_folder(warehouse: psycopg.Connection) -> None:
    for n, priority in enumerate((inbox.SWEPT, inbox.SWEPT, 0)):
        warehouse.execute(
            "INSERT INTO millrace.image_source (digest, bytes, priority) VALUES (%s, 1, %s)", [f"{n:064x}", priority]
        )
    batch = uuid4()
    assert inbox.claim(warehouse, batch, size=2) == 2
    assert [digest for digest, _ in inbox.batch_of(warehouse, batch)] == [f"{2:064x}", f"{0:064x}"]


def test_a_lone_task_gives_way_to_more(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH", 2)
    deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(9)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    (alone,) = inbox.open_batches(warehouse, 1)
    assert work.resize_batch(warehouse, store, SMALL, alone, lanes_free=True)["done"] == 2
    (one, two) = inbox.open_batches(warehouse, 2)
    assert work.resize_batch(warehouse, store, SMALL, one)["done"] == 5, "it takes what waits meanwhile"
    assert work.resize_batch(warehouse, store, SMALL, two)["done"] == 2


@both_kinds
def test_new_recipes_make_stored_pictures_anew(
    warehouse: psycopg.Connection, place: Place, store: Store, tmp_path: Path
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    both = Recipes(renditions={"small": Recipe(side=64), "same": Recipe(side=48)})
    do_all(warehouse, store, both)
    assert inbox.remake(warehouse, both) == 0
    before = set(place.stored())
    other = Recipes(renditions={"tiny": Recipe(side=32, formats=("png",)), "same": Recipe(side=48)})
    assert inbox.remake(warehouse, other) == 1
    do_all(warehouse, store, other)
    found = warehouse.execute("SELECT recipe, file, width FROM millrace.image_rendition ORDER BY width").fetchall()
    assert next(width for *_, width in found) == 32
    after = set(place.stored())
    assert after == {source_key(digest), *(rendition_key(digest, recipe, file) for recipe, file, _ in found)}
    assert len(before & after) == 3, "the source and the renditions whose recipe is the same"


@both_kinds
def test_a_worker_killed_at_any_moment_loses_nothing(
    warehouse: psycopg.Connection, dsn: str, place: Place, kind: str, tmp_path: Path
) -> None:
    store = place.store
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(6)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    begin, kills = (0.4, 4) if kind == "folder" else (1.0, 3)  # seconds until the program works
    program = (
        "import json, sys, psycopg; from include.images import inbox, work;"
        "from include.images.recipes import load_recipes; from tests.images.places import open_store\n"
        "with psycopg.connect(sys.argv[1], autocommit=True) as c:\n"
        "    for batch in inbox.open_batches(c, 1):\n"
        "        work.resize_batch(c, open_store(json.loads(sys.argv[2])), load_recipes(), batch)"
    )
    for attempt in range(20):
        process = subprocess.Popen([sys.executable, "-c", program, dsn, json.dumps(place.spec)])
        if attempt < kills:
            time.sleep(begin + 0.25 * attempt)
            process.send_signal(signal.SIGKILL)
        assert process.wait(60) in (0, -signal.SIGKILL)
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second', attempts = 0")
        if inbox.waiting(warehouse) == 0:
            break
    assert states(warehouse) == dict.fromkeys(digests, ("done", None))
    names = {name for (name,) in warehouse.execute("SELECT DISTINCT name FROM millrace.image_rendition")}
    assert names == set(load_recipes().renditions)
    tidy(warehouse, store, age_seconds=0)
    assert not list(store.scratch().iterdir()), "what the killed ones left is gone"
    found = warehouse.execute("SELECT digest, recipe, file, bytes, sha256 FROM millrace.image_rendition").fetchall()
    for digest, recipe, file, size, sha256 in found:
        data = store.read_rendition(digest, recipe, file, 0, size + 1)
        assert hashlib.sha256(data).hexdigest() == sha256
    assert len(place.stored()) == len(found) + len(digests)


@both_kinds
def test_leftovers_go_after_a_day(warehouse: psycopg.Connection, place: Place) -> None:
    scratch = place.store.scratch()
    before = time.time() - 90_000
    for name in ("old", "young"):
        (scratch / name).write_bytes(b"half")
        (scratch / f"resize-{name}").mkdir()
        (scratch / f"resize-{name}" / "source").write_bytes(b"half")
    for path in (scratch / "old", scratch / "resize-old"):
        os.utime(path, (before, before))
    assert tidy(warehouse, place.store) == {"leftovers": 2, "deleted": 0}
    assert sorted(path.name for path in scratch.iterdir()) == ["resize-young", "young"]


@pytest.mark.parametrize("kind", ["s3"])
def test_leftovers_of_a_machine_go_when_its_next_process_begins(place: Place) -> None:
    old = place.store.scratch() / "old"
    old.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert not list(open_store(place.spec).scratch().iterdir())


@both_kinds
def test_a_bucket_is_swept(
    warehouse: psycopg.Connection, place: Place, endpoint: str, fresh_bucket: str, tmp_path: Path
) -> None:
    fs, folder = s3(endpoint), bucket(endpoint, f"{fresh_bucket}/deliveries")
    assert sweep(warehouse, place.store, folder, owner="me") == {"taken": 0, "known": 0, "refused": 0}
    photo = pictures.encoded(pictures.photo())
    for name, data in {
        "a.jpg": photo, "deep/er/b.png": pictures.encoded(pictures.photo(seed=2), "PNG"), "deep/same.jpg": photo,
        ".hidden.jpg": pictures.encoded(pictures.photo(seed=3)), "text.jpg": b"text", "large.jpg": bytes(2000),
    }.items():  # fmt: skip
        fs.pipe_file(f"{fresh_bucket}/deliveries/{name}", data)
    fs.pipe_file(f"{fresh_bucket}/deliveries-other/c.jpg", pictures.encoded(pictures.photo(seed=4)))
    assert sweep(warehouse, place.store, folder, owner="me") == {"taken": 2, "known": 1, "refused": 2}
    assert sweep(warehouse, place.store, folder, owner="me") == {"taken": 0, "known": 3, "refused": 2}
    one = bucket(endpoint, f"{fresh_bucket}/deliveries/a.jpg")
    assert sweep(warehouse, place.store, one, owner="me") == {"taken": 0, "known": 1, "refused": 0}
    do_all(warehouse, place.store)
    assert set(states(warehouse).values()) == {("done", None)}
    names = {name for (name,) in warehouse.execute("SELECT file_name FROM millrace.image")}
    assert names == {"a.jpg", "b.png"}
    with pytest.raises(StoreAway, match="nowhere"):
        sweep(warehouse, place.store, bucket(endpoint, "nowhere/x"), owner="me")


def test_an_outage_costs_no_attempt_and_a_file_that_cant_be_had_is_given_up(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(4)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    source, forbidden, asked = store.source, set(digests), []

    def fetch(digest: str, folder: Path) -> Path:
        asked.append(digest)
        if digest in forbidden:
            raise StoreAway("forbidden")
        return source(digest, folder)

    def again() -> None:
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
        asked.clear()
        for batch in inbox.open_batches(warehouse, 1):
            work.resize_batch(warehouse, store, SMALL, batch)

    monkeypatch.setattr(store, "source", fetch)
    for _ in range(LIMITS.attempts + 2):
        with pytest.raises(StoreAway):
            again()
        assert asked == digests[: work.STALLS], "after so many in a row it does not try the rest"
    assert warehouse.execute("SELECT DISTINCT state, attempts FROM millrace.image_source").fetchall() == [
        ("resizing", 0)
    ]
    forbidden -= set(digests[1:])
    for _ in range(LIMITS.attempts + 2):
        with pytest.raises(StoreAway):
            again()
    assert states(warehouse)[digests[0]][0] == "resizing", "alone, it may be the store"
    assert set(map(states(warehouse).get, digests[1:])) == {("done", None)}
    for seed in range(LIMITS.attempts):
        deliver(tmp_path / f"more{seed}", pictures.encoded(pictures.photo(60, 40, seed=10 + seed)))
        sweep(warehouse, store, tmp_path / f"more{seed}", owner="me")
        with pytest.raises(StoreAway):
            again()
    assert states(warehouse)[digests[0]] == ("failed", "store-away")


def test_a_full_disk_costs_no_attempt(
    warehouse: psycopg.Connection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, store, tmp_path / "in", owner="me")

    def no_room(*_: object) -> None:
        raise StoreFull("the image store is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "keep_renditions", no_room)
        with pytest.raises(StoreFull):
            do_all(warehouse, store)
    (found,) = warehouse.execute("SELECT state, attempts FROM millrace.image_source").fetchall()
    assert found == ("resizing", 0)
    assert not list(store.scratch().iterdir())
    warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
    do_all(warehouse, store)
    assert states(warehouse) == {digest: ("done", None)}


@both_kinds
def test_a_source_that_is_gone_fails_alone(warehouse: psycopg.Connection, place: Place, tmp_path: Path) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(3)))
    sweep(warehouse, place.store, tmp_path / "in", owner="me")
    place.store.drop(digests[1])
    do_all(warehouse, place.store)
    assert states(warehouse) == {
        digests[0]: ("done", None), digests[1]: ("failed", "missing"), digests[2]: ("done", None),
    }  # fmt: skip


def test_a_folder_that_is_not_mounted_fails_no_picture(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, FolderStore(tmp_path / "store"), tmp_path / "in", owner="me")
    with pytest.raises(StoreAway, match="mounted"):
        do_all(warehouse, FolderStore(tmp_path / "empty"))


@pytest.mark.parametrize("kind", ["s3"])
def test_an_object_that_was_changed_is_told(
    warehouse: psycopg.Connection, place: Place, endpoint: str, tmp_path: Path
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, place.store, tmp_path / "in", owner="me")
    s3(endpoint).pipe_file(f"{place.spec[2]}/{source_key(digest)}", pictures.encoded(pictures.photo(seed=9)))
    do_all(warehouse, place.store)
    assert states(warehouse) == {digest: ("failed", "damaged")}
