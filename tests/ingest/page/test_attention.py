"""What needs a person, and which file comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from include.ingest.report.attention import notices
from include.ingest.report.catalogue import Catalogue, Entry
from include.ingest.report.expected import expected, missed
from tests.ingest.loading import ITEMS, make_dataset

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
RUN = UUID(int=1)
GOOD = {
    "run_id": RUN, "status": "done", "reason": None, "failed": 0, "waiting_since": None, "waiting_file": None,
    "planned_since": None, "newest": datetime(2026, 3, 9, tzinfo=UTC),
}  # fmt: skip


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """A daily dataset that waits six hours for its file."""
    return Entry("items", ITEMS, make_dataset(tmp_path), None)


def said(entry: Entry | None, **changes: Any) -> list[tuple[str, str]]:
    return [(notice.level, notice.text) for notice in notices(entry, {**GOOD, **changes}, NOW)]


def test_nothing_where_all_is_well(entry: Entry) -> None:
    assert said(entry) == []
    assert notices(entry, None, NOW) == []


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"status": "failed", "reason": "too many", "failed": 1}, "bad", "the last run failed: too many"),
        ({"reason": "200 of 200 rows are older"}, "warn", "200 of 200 rows are older"),
        ({"failed": 1}, "warn", "another run of the last 7 days failed and was not repeated"),
        ({"failed": 3}, "warn", "3 other runs of the last 7 days failed and were not repeated"),
        (
            {"status": "waiting", "waiting_since": NOW - timedelta(hours=4), "waiting_file": "/inbox/a.csv"},
            "warn", "/inbox/a.csv has not come yet",
        ),
        ({"status": "planned", "planned_since": NOW - timedelta(hours=13)}, "warn", "a run loads since long"),
        ({"newest": datetime(2026, 3, 8, tzinfo=UTC)}, "warn", "no run for 2026-03-09 00:00 UTC yet"),
    ],
)  # fmt: skip
def test_what_needs_a_person(entry: Entry, changes: dict[str, Any], level: str, text: str) -> None:
    [(found, words)] = said(entry, **changes)
    assert found == level
    assert text in words


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "waiting", "waiting_since": NOW - timedelta(hours=2), "waiting_file": "/inbox/a.csv"},
        {"status": "planned", "planned_since": NOW - timedelta(hours=2)},
        {"newest": datetime(2026, 3, 10, tzinfo=UTC)},
    ],
)
def test_what_does_not(entry: Entry, changes: dict[str, Any]) -> None:
    assert said(entry, **changes) == []


def test_the_worst_comes_first(entry: Entry) -> None:
    found = said(entry, status="failed", reason="no header", failed=2, newest=datetime(2026, 3, 1, tzinfo=UTC))
    assert [level for level, _ in found] == ["bad", "warn", "warn"]


def test_a_wrong_file_and_a_file_that_has_gone(tmp_path: Path) -> None:
    (tmp_path / "items.yaml").write_text("name: items\nkeys: [id]\n")
    wrong = Catalogue((tmp_path,)).entries()["items"]
    [(level, text), *_] = said(wrong)
    assert (level, "items.yaml:2: keys: unknown field" in text) == ("bad", True)
    assert str(tmp_path) not in text
    assert said(None) == [("note", "there is no dataset file any more")]


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    catalogue = Catalogue((tmp_path,))
    make_dataset(tmp_path)
    first = catalogue.entries()["items"]
    assert catalogue.entries()["items"] is first
    make_dataset(tmp_path, ITEMS + "description: of the shop\n")
    changed = catalogue.entries()["items"].dataset
    assert changed is not None
    assert changed.description == "of the shop"
    (tmp_path / "items.yaml").unlink()
    assert catalogue.entries() == {}


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("{{ inbox }}/a_{{ ds }}.csv", "/in/a_2026-03-10.csv"),
        ("s3://b/{{ ds_nodash }}/*.csv", "s3://b/20260310/*.csv"),
        ("{{ inbox }}/{{ data_interval_end | ds }}.csv", "/in/2026-03-11.csv"),
        ("{{ inbox }}/{{ logical_date.strftime('%d.%m.%y') }}.csv", "/in/10.03.26.csv"),
        ("{{ inbox }}/{{ ts_nodash }}.csv", "/in/20260310T000000.csv"),
        ("{{ var.value.folder }}/a.csv", None),
        ("{{ inbox }}/{{ macros.ds_add(ds, 1) }}.csv", None),
    ],
)
def test_the_file_that_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, file: str | None
) -> None:
    monkeypatch.setenv("MILLRACE_INBOX", "/in")
    found = expected(make_dataset(tmp_path, source=source), NOW)
    assert found is not None
    assert found.file == file
    assert (found.version, found.due) == (datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC))


def test_nothing_comes_without_a_schedule_or_after_the_last_date(tmp_path: Path) -> None:
    by_hand = make_dataset(tmp_path, schedule=None)
    assert expected(by_hand, NOW) is None
    assert missed(by_hand, datetime(2020, 1, 1, tzinfo=UTC), NOW) is None
    over = make_dataset(tmp_path, ITEMS + "end_date: 2026-03-08\n")
    assert expected(over, NOW) is None
    assert missed(over, datetime(2026, 3, 1, tzinfo=UTC), NOW) is None


def test_a_run_that_is_due_has_a_while_to_begin(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    before = datetime(2026, 3, 8, tzinfo=UTC)
    assert missed(dataset, before, datetime(2026, 3, 10, 0, 10, tzinfo=UTC)) is None
    late = missed(dataset, before, datetime(2026, 3, 10, 0, 20, tzinfo=UTC))
    assert late is not None
    assert late.start == datetime(2026, 3, 9, tzinfo=UTC)
