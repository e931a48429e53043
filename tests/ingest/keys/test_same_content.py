"""Content that comes again, in another order, under another name, or after the code of its hook was changed."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.cast.clean_hook import code_of, load_hook
from include.ingest.dataset.definition import DeleteLimit, RejectLimit
from include.ingest.errors import RejectLimitExceeded, SourceChanged
from include.ingest.load import load_chunk
from include.ingest.plan import Order, plan
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows

A, B = HEADER + "1,a,1\n2,a,2\n", HEADER + "1,b,1\n2,b,2\n"
LOG = ITEMS.replace("key: [id]", "mode: append")


def labels(warehouse: psycopg.Connection[Any]) -> list[str]:
    return [label for _, label in rows(warehouse, "id, label")]


def day(number: int) -> Any:
    return DAY + timedelta(days=number)


@pytest.mark.parametrize("one_run", [False, True], ids=["three runs", "one run, cleared"])
@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_what_was_delivered_last_for_an_interval_stands(
    warehouse: psycopg.Connection[Any], tmp_path: Path, mode: str, one_run: bool
) -> None:
    dataset, run_id = make_dataset(tmp_path, mode=mode), uuid4()
    ingest(warehouse, dataset, HEADER + "1,first,1\n", tmp_path, version=day(-1))
    for text in (A, B, A, B, B, A):
        ingest(warehouse, dataset, text, tmp_path, run_id=run_id if one_run else None)
        assert set(labels(warehouse)) == {"a" if text == A else "b"}


def test_a_correction_taken_back_stands_also_where_another_day_came_between(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path)
    for number, text in [(1, A), (1, B), (2, HEADER + "2,newer,2\n"), (1, A)]:
        ingest(warehouse, dataset, text, tmp_path, version=day(number))
    assert labels(warehouse) == ["a", "newer"]


@pytest.mark.parametrize("emptied", [HEADER, HEADER + "9,z,1\n"])
@pytest.mark.parametrize("force", [False, True])
def test_replace_an_older_file_changes_nothing(
    warehouse: psycopg.Connection[Any], tmp_path: Path, emptied: str, force: bool
) -> None:
    dataset = make_dataset(tmp_path, mode="replace", delete_limit=DeleteLimit(ratio=None))
    ingest(warehouse, dataset, A, tmp_path, version=day(1))
    ingest(warehouse, dataset, emptied, tmp_path, version=day(3))
    before = rows(warehouse)
    for text in (B, A):
        late = ingest(warehouse, dataset, text, tmp_path, version=day(2), force=force)
        assert rows(warehouse) == before
        assert late.inserted == late.updated == late.deleted == 0
    assert ingest(warehouse, dataset, B, tmp_path, version=day(4)).inserted == 2


def test_replace_a_cleared_run_makes_no_room_for_an_older_file(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset, last = make_dataset(tmp_path, mode="replace"), uuid4()
    ingest(warehouse, dataset, A, tmp_path, version=day(3), run_id=last)
    strict = dataset.model_copy(update={"reject_limit": RejectLimit(rows=0)})
    with pytest.raises(RejectLimitExceeded):
        ingest(warehouse, strict, HEADER + "x,bad,1\n", tmp_path, version=day(3), run_id=last)
    assert counts(ingest(warehouse, dataset, B, tmp_path, version=day(2))) == {"read": 2, "superseded": 2}
    assert labels(warehouse) == ["a", "a"]


def test_append_two_equal_files_under_two_names_are_both_loaded(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    dataset, file = make_dataset(tmp_path, LOG), tmp_path / "one.csv"
    file.write_text(A)
    ingest(warehouse, dataset, file, tmp_path)
    ingest(warehouse, dataset, A, tmp_path)
    assert labels(warehouse) == ["a"] * 4
    assert ingest(warehouse, dataset, file, tmp_path).status == "skipped"
    assert labels(warehouse) == ["a"] * 4
    warehouse.execute("TRUNCATE items")
    assert counts(ingest(warehouse, dataset, file, tmp_path)) == {"read": 2, "inserted": 2}


def test_append_a_cleared_run_that_has_appended_does_nothing_unless_forced(
    warehouse: psycopg.Connection[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, run_id = make_dataset(tmp_path, LOG), uuid4()
    first = ingest(warehouse, dataset, A, tmp_path, run_id=run_id)
    for text in (B, A):
        again = ingest(warehouse, dataset, text, tmp_path, run_id=run_id)
        assert counts(again) == counts(first)
        assert "this run has already appended" in caplog.messages[-1]
    assert labels(warehouse) == ["a", "a"]
    ingest(warehouse, dataset, B, tmp_path, run_id=run_id, force=True)
    assert sorted(labels(warehouse)) == ["a", "a", "b", "b"]


def test_append_what_a_run_appended_is_known_also_when_it_was_cleared_and_forced(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Its row in the ledger speaks of the last try only."""
    dataset, file, run_id = make_dataset(tmp_path, LOG), tmp_path / "one.csv", uuid4()
    file.write_text(A)
    ingest(warehouse, dataset, file, tmp_path, run_id=run_id)
    strict = dataset.model_copy(update={"reject_limit": RejectLimit(rows=0)})
    with pytest.raises(RejectLimitExceeded):
        ingest(warehouse, strict, HEADER + "x,bad,1\n", tmp_path, run_id=run_id, force=True)
    again = ingest(warehouse, dataset, B, tmp_path, run_id=run_id)
    assert (again.status, again.reason) == ("skipped", "this run has already appended: set `force` to append again")
    ingest(warehouse, dataset, HEADER, tmp_path, run_id=run_id, force=True)
    assert ingest(warehouse, dataset, file, tmp_path).status == "skipped"
    assert labels(warehouse) == ["a", "a"]


def test_append_a_run_that_appended_nothing_may_be_cleared(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    dataset, run_id = make_dataset(tmp_path, LOG), uuid4()
    ingest(warehouse, dataset, HEADER, tmp_path, run_id=run_id)
    assert ingest(warehouse, dataset, A, tmp_path, run_id=run_id).inserted == 2


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of hooks on the path of modules."""
    folder = tmp_path / "hooks_of_mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "words.py").write_text('WORD = "x"\n')
    (folder / "items.py").write_text(
        "import json\nfrom hooks_of_mine.words import WORD\nfrom hooks_of_mine import words\n\n\ndef clean(frame):\n"
        "    frame['label'] = frame['label'] + words.WORD\n    return frame\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    reloaded(folder)
    return folder


def reloaded(folder: Path) -> None:
    """As a new process has it."""
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    importlib.invalidate_caches()


@pytest.mark.parametrize("changed", ["items.py", "words.py"])
@pytest.mark.parametrize("force", [False, True])
def test_a_changed_hook_loads_the_same_file_again(
    warehouse: psycopg.Connection[Any], tmp_path: Path, hooks: Path, changed: str, force: bool
) -> None:
    dataset = make_dataset(tmp_path, clean="hooks_of_mine.items:clean")
    ingest(warehouse, dataset, A, tmp_path)
    assert ingest(warehouse, dataset, A, tmp_path).status == "skipped"
    file = hooks / changed
    file.write_text(file.read_text().replace("words.WORD", "'y'").replace('"x"', '"y"'))
    reloaded(hooks)
    account = ingest(warehouse, dataset, A, tmp_path, force=force)
    assert counts(account) == {"read": 2, "updated": 2}
    assert labels(warehouse) == ["ay", "ay"]


def test_the_code_of_a_hook_is_its_folder_and_nothing_else(hooks: Path) -> None:
    first = code_of(load_hook("hooks_of_mine.items:clean"))
    (hooks / "unused.py").write_text("")
    reloaded(hooks)
    assert code_of(load_hook("hooks_of_mine.items:clean")) == first
    assert code_of(None) == ""


@pytest.mark.parametrize("way", ["copied over", "written in place"])
def test_a_file_that_was_replaced_under_the_same_size_and_time_is_noticed(
    warehouse: psycopg.Connection[Any], tmp_path: Path, way: str
) -> None:
    dataset, file = make_dataset(tmp_path), tmp_path / "file.csv"
    file.write_text(A)
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    times = file.stat()
    if way == "copied over":
        other = tmp_path / "other"
        other.write_text(B)
        other.replace(file)
    else:
        file.write_text(B)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(SourceChanged, match="changed since it was planned"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])


def test_digests_of_files_are_seeded_by_a_secret_of_the_target(
    warehouse: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """So nobody can prepare two files, or two keys, that are taken for one another."""
    file = tmp_path / "file.csv"
    file.write_text(A)
    one, other = make_dataset(tmp_path), make_dataset(tmp_path, ITEMS.replace("public.items", "public.others"))
    for dataset in (one, one, other):
        ingest(warehouse, dataset, file, tmp_path)
    found = warehouse.execute("SELECT target, array_agg(DISTINCT fingerprint) FROM millrace.ingest_run GROUP BY 1")
    ((_, mine), (_, theirs)) = sorted(found.fetchall())
    assert len(mine) == len(theirs) == 1
    assert mine != theirs
    secrets = warehouse.execute("SELECT secret FROM millrace.ingest_target").fetchall()
    assert [len(secret) for (secret,) in secrets] == [16, 16]
    assert secrets[0] != secrets[1]
