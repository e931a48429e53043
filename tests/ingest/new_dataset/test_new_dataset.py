"""From a file to a dataset file and a table: what is drafted, what is refused, and what is there after a kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError, IngestError, SourceMissing, TargetMismatch
from include.ingest.infer.said import Said
from include.ingest.new_dataset import creation, told
from include.ingest.new_dataset.creation import Refused
from include.ingest.new_dataset.draft import Asked, Draft, asked_for, draft, version_of
from include.ingest.plan import Order
from include.ingest.preview.look import preview
from include.ingest.preview.result import Preview
from include.ingest.run import run
from include.ingest.source.storage import LOCAL
from tests.ingest.loading import DAY, rows

ROWS = "id,label,price\n" + "".join(f"{n},thing {n},{n}.50\n" for n in range(1, 50))
UNSURE = "id,due\n" + "".join(f"{n},0{n % 9 + 1}/0{n % 7 + 1}/2026\n" for n in range(1, 50))
KEYLESS = "kind,amount\n" + "a,1\nb,2\n" * 30
Connection = psycopg.Connection[Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of dataset files."""
    made = tmp_path / "datasets"
    made.mkdir()
    return made


def asked(tmp_path: Path, text: str = ROWS, name: str = "items_2026-03-01.csv", **more: Any) -> Asked:
    (tmp_path / name).write_text(text)
    return asked_for(str(tmp_path / name), more.pop("dataset", None), Said(**more.pop("said", {})), **more)


def drafted(wanted: Asked) -> Draft:
    return draft(wanted, LOCAL, "/in")


def looked(connection: Connection, found: Draft, wanted: Asked) -> Preview:
    return preview(connection, found.dataset, Order(uuid4(), wanted.file, DAY))


def made(connection: Connection, wanted: Asked, folder: Path, *, table: bool = True) -> Path:
    """What `ingest_file` does but for the load."""
    found = drafted(wanted)
    creation.check(connection, found, looked(connection, found, wanted), wanted)
    return creation.create(connection, found, [folder], table=table)


def test_a_look_writes_nothing_and_says_what_to_do(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    wanted = asked(tmp_path)
    found = drafted(wanted)
    shown = looked(warehouse, found, wanted)
    assert list(told.findings(wanted, found, shown)) == [
        "items_2026-03-01.csv: 49 rows, 3 columns, key id; dataset items into public.items"
    ]
    assert "Nothing was written.\nTo make the dataset, trigger the DAG again with `action` create" in told.note(
        wanted, found, shown, None, creation.existing(found, [folder])
    )
    assert found.dataset.source == f"{tmp_path}/items_{{{{ ds }}}}.csv", "where it really lies"
    assert list(folder.iterdir()) == []
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,)


def test_file_and_table_are_made_and_fit(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    wanted = asked(tmp_path, said={"key": ["label"]})
    file = made(warehouse, wanted, folder)
    dataset = load_dataset(file)
    assert (file, dataset.key) == (folder / "items.yaml", ["label"])
    assert rows(warehouse) == []
    version = version_of(wanted.file, dataset, datetime(2026, 5, 5, 12, tzinfo=UTC))
    assert version == DAY, "of the day in its name"
    account = run(warehouse, dataset, Order(uuid4(), wanted.file, version))
    assert (account.status, account.inserted) == ("done", 49)
    assert made(warehouse, wanted, folder) == file, "once more, as after a retry"
    assert "inserted 49, updated 0" in told.loaded(account)
    assert sorted(folder.iterdir()) == [file]


def test_a_file_without_a_day_has_the_version_of_the_last_complete_interval(tmp_path: Path) -> None:
    wanted = asked(tmp_path, name="items.csv")
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    assert version_of(wanted.file, drafted(wanted).dataset, now) == datetime(2026, 5, 4, tzinfo=UTC)


def test_what_is_ambiguous_is_refused_until_it_is_settled(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Refused) as caught:
        made(warehouse, asked(tmp_path, UNSURE), folder)
    reason = str(caught.value)
    assert "- ambiguous: due: '02/02/2026' may be day first or month first" in reason
    assert "settle it with `dates`, `decimal_mark` or `key`, or tick `accept`" in reason
    assert list(folder.iterdir()) == []
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,)
    monthly = asked(tmp_path, UNSURE, "monthly.csv", said={"order": "mdY"})
    assert '["%m/%d/%Y"]' in made(warehouse, monthly, folder).read_text()
    accepted = asked(tmp_path, UNSURE, "accepted.csv", accept=True)
    assert '["%d/%m/%Y"]' in made(warehouse, accepted, folder).read_text()


def test_a_number_that_may_be_two_is_settled_too(tmp_path: Path) -> None:
    text = "id;amount\n" + "".join(f"{n};{n}.234\n" for n in range(1, 50))
    assert "may part thousands" in drafted(asked(tmp_path, text)).doubts[0]
    settled = drafted(asked(tmp_path, text, said={"decimal_mark": ","}))
    assert (settled.doubts, settled.dataset.columns["amount"].thousands_mark) == ([], ".")


def test_without_a_key_nothing_is_appended_silently(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Refused, match=r"no key was found .*: name it in `key`, or tick `append`"):
        made(warehouse, asked(tmp_path, KEYLESS), folder)
    with pytest.raises(Refused, match="key: kind is not unique: 58 rows repeat another"):
        made(warehouse, asked(tmp_path, KEYLESS, said={"key": ["kind"]}), folder)
    file = made(warehouse, asked(tmp_path, KEYLESS, append=True), folder)
    assert load_dataset(file).mode == "append"


def test_a_dataset_file_is_never_overwritten(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    wanted = asked(tmp_path)
    (folder / "items.yaml").write_text("precious")
    with pytest.raises(DatasetError, match=r"/items\.yaml is there already, and is never overwritten: give another"):
        made(warehouse, wanted, folder)
    assert (folder / "items.yaml").read_text() == "precious"
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,), "neither is there"
    with pytest.raises(FileExistsError):
        creation.write_new(folder / "items.yaml", "late")
    (folder / ".items.yaml.part").hardlink_to(folder / "items.yaml")  # as a kill leaves it
    with pytest.raises(FileExistsError):
        creation.write_new(folder / "items.yaml", "late")
    assert (folder / "items.yaml").read_text() == "precious"
    other = made(warehouse, asked(tmp_path, dataset="things"), folder)
    assert sorted(folder.iterdir()) == [folder / "items.yaml", other]


def test_a_table_of_somebody_elses_is_left_alone(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    wanted = asked(tmp_path)
    made(warehouse, wanted, folder).unlink()
    made(warehouse, wanted, folder).unlink()  # an empty one may have been made for it
    warehouse.execute("INSERT INTO items (id, label, price) VALUES (1, 'own', 1)")
    with pytest.raises(Refused, match=r"table public\.items is there already, with rows that no run of dataset items"):
        made(warehouse, wanted, folder)
    warehouse.execute("DROP TABLE items; CREATE TABLE items (id text)")
    with pytest.raises(Refused, match=r"a run of this file would fail: target public\.items does not fit"):
        made(warehouse, wanted, folder)


def test_no_folder_to_write_into(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    found = drafted(asked(tmp_path))
    locked = Path("/proc")  # which nobody can write, not even root
    with pytest.raises(DatasetError, match=r"no folder of dataset files can be written here \(/proc: .*Copy"):
        creation.create(warehouse, found, [locked], table=True)
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,), "neither is there"
    assert creation.create(warehouse, found, [locked, folder], table=True) == folder / "items.yaml"


def test_a_role_that_may_create_no_table(warehouse: Connection, tmp_path: Path, folder: Path) -> None:
    warehouse.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC, ingest, pg_database_owner")
    with pytest.raises(TargetMismatch, match="GRANT CREATE ON SCHEMA public TO ingest"):
        made(warehouse, asked(tmp_path), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        ("orders.csv", None, r"orders\.csv: give the whole path"),
        ("  ", None, "file: give the whole path"),
        ("/proc", None, "/proc is a folder: give one of its files"),
        ("/in/orders.csv", "Über", "name: Über is no name of a dataset"),
        ("/in/orders.csv", "file", "name: file is no name of a dataset"),
    ],
)
def test_what_is_no_place_of_a_file_or_no_name(file: str, name: str | None, words: str) -> None:
    with pytest.raises(IngestError, match=words):
        asked_for(file, name, Said())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"none\.csv is not there"):
        drafted(asked_for(f"{tmp_path}/none.csv", None, Said()))


def _create(dsn: str, wanted: Asked, folder: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        made(connection, wanted, folder)


def _killed_at(step: str, dsn: str, wanted: Asked, folder: Path) -> None:
    """The same, and the process is killed at one step."""

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    owner, name = {"write": (os, "fsync"), "link": (Path, "hardlink_to"), "tidy": (Path, "hardlink_to")}[step]
    really = getattr(owner, name)

    def late(*given: Any) -> None:
        really(*given)
        die()

    setattr(owner, name, late if step == "tidy" else die)
    _create(dsn, wanted, folder)


@pytest.mark.parametrize("step", ["write", "link", "tidy"])
def test_killed_while_the_file_is_written(dsn: str, tmp_path: Path, folder: Path, step: str) -> None:
    wanted = asked(tmp_path)
    whole = drafted(wanted).text
    process = multiprocessing.get_context("spawn").Process(target=_killed_at, args=(step, dsn, wanted, folder))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [file.read_text() for file in folder.glob("*.yaml")]
    assert left == ([whole] if step == "tidy" else []), "whole, or not at all"
    _create(dsn, wanted, folder)
    assert [file.read_text() for file in folder.iterdir()] == [whole], "and nothing beside it"
    with psycopg.connect(dsn) as connection:
        assert rows(connection) == []
