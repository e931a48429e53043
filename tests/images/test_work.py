"""From the list of work to renditions in the store, on a real PostgreSQL: claimed once, lost claims come again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.images import inbox, work
from include.images.errors import Killed
from include.images.limits import LIMITS
from include.images.recipes import Recipe, Recipes, load_recipes
from include.images.store import FolderStore
from include.images.sweep import sweep
from tests.images import pictures

SMALL = Recipes(renditions={"small": Recipe(side=64)})


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def deliver(folder: Path, *files: bytes) -> list[str]:
    """Put files into a folder; their digests."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / f"{number}.jpg").write_bytes(data)
    return [hashlib.sha256(data).hexdigest() for data in files]


def states(connection: psycopg.Connection) -> dict[str, tuple[str, str | None]]:
    found = connection.execute("SELECT digest, state, code FROM millrace.image_source")
    return {digest: (state, code) for digest, state, code in found}


def do_all(connection: psycopg.Connection, store: FolderStore, recipes: Recipes = SMALL) -> None:
    for batch in inbox.open_batches(connection, 2):
        work.resize_batch(connection, store, recipes, batch)


def test_good_and_bad_pictures_side_by_side(warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path) -> None:
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
        data = store.rendition(good, recipe, file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
    assert not list((store.root / "incoming").iterdir())


def test_what_a_dead_task_claimed_is_claimed_again(
    warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path
) -> None:
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


def test_two_claimers_share(warehouse: psycopg.Connection, dsn: str, store: FolderStore, tmp_path: Path) -> None:
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
    warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (digest,) = deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, store, tmp_path / "in", owner="me")

    def die(*_: object) -> None:
        raise Killed("timeout", "it took too long")

    monkeypatch.setattr(work, "render_safely", die)
    do_all(warehouse, store)
    assert states(warehouse) == {digest: ("failed", "timeout")}
    assert warehouse.execute("SELECT attempts FROM millrace.image_source").fetchone() == (LIMITS.attempts,)


def test_a_picture_that_kills_its_worker_is_given_up(
    warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer, *others = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(3)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    real = work.render_safely

    def die(path: Path, *rest: Any) -> Any:
        if path == store.source(killer):
            raise SystemExit(9)
        return real(path, *rest)

    monkeypatch.setattr(work, "render_safely", die)
    for _ in range(LIMITS.attempts):
        with pytest.raises(SystemExit):
            do_all(warehouse, store)
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second'")
    do_all(warehouse, store)
    assert states(warehouse) == {killer: ("failed", "killed"), **dict.fromkeys(others, ("done", None))}


def test_uploads_come_before_a_folder(warehouse: psycopg.Connection) -> None:
    for n, priority in enumerate((inbox.SWEPT, inbox.SWEPT, inbox.UPLOADED)):
        warehouse.execute(
            "INSERT INTO millrace.image_source (digest, bytes, priority) VALUES (%s, 1, %s)", [f"{n:064x}", priority]
        )
    batch = uuid4()
    assert inbox.claim(warehouse, batch, size=2) == 2
    assert [digest for digest, _ in inbox.batch_of(warehouse, batch)] == [f"{2:064x}", f"{0:064x}"]


def test_a_lone_task_gives_way_to_more(
    warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH", 2)
    deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(60, 40, seed=n)) for n in range(9)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    (alone,) = inbox.open_batches(warehouse, 1)
    assert work.resize_batch(warehouse, store, SMALL, alone, lanes_free=True)["done"] == 2
    (one, two) = inbox.open_batches(warehouse, 2)
    assert work.resize_batch(warehouse, store, SMALL, one)["done"] == 5, "it takes what waits meanwhile"
    assert work.resize_batch(warehouse, store, SMALL, two)["done"] == 2


def test_new_recipes_make_stored_pictures_anew(
    warehouse: psycopg.Connection, store: FolderStore, tmp_path: Path
) -> None:
    deliver(tmp_path / "in", pictures.encoded(pictures.photo()))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    do_all(warehouse, store)
    assert inbox.remake(warehouse, SMALL.identity) == 0
    other = Recipes(renditions={"tiny": Recipe(side=32, formats=("png",))})
    assert inbox.remake(warehouse, other.identity) == 1
    do_all(warehouse, store, other)
    found = warehouse.execute("SELECT file, width FROM millrace.image_rendition").fetchall()
    assert found == [("tiny.png", 32)]


def test_a_worker_killed_at_any_moment_loses_nothing(
    warehouse: psycopg.Connection, dsn: str, store: FolderStore, tmp_path: Path
) -> None:
    digests = deliver(tmp_path / "in", *(pictures.encoded(pictures.photo(seed=n)) for n in range(12)))
    sweep(warehouse, store, tmp_path / "in", owner="me")
    program = (
        "import sys, psycopg; from pathlib import Path; from include.images import inbox, work;"
        "from include.images.recipes import load_recipes; from include.images.store import FolderStore\n"
        "with psycopg.connect(sys.argv[1], autocommit=True) as c:\n"
        "    for batch in inbox.open_batches(c, 1):\n"
        "        work.resize_batch(c, FolderStore(Path(sys.argv[2])), load_recipes(), batch)"
    )
    for attempt in range(20):
        process = subprocess.Popen([sys.executable, "-c", program, dsn, str(store.root)])
        if attempt < 5:
            time.sleep(0.4 + 0.25 * attempt)
            process.send_signal(signal.SIGKILL)
        assert process.wait(60) in (0, -signal.SIGKILL)
        warehouse.execute("UPDATE millrace.image_source SET claimed_until = now() - interval '1 second', attempts = 0")
        if inbox.waiting(warehouse) == 0:
            break
    assert states(warehouse) == dict.fromkeys(digests, ("done", None))
    names = {name for (name,) in warehouse.execute("SELECT DISTINCT name FROM millrace.image_rendition")}
    assert names == set(load_recipes().renditions)
    os.sync()
