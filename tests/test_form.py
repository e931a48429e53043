"""What the trigger form of `ingest_<name>` says of a dataset's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.bridge import ingest
from tests.ingest.loading import ITEMS, make_dataset


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "takes /in/items_2026-01-01.csv and has version 2026-01-01 00:00 UTC."),
        ("schedule: 0 6 * * *", "takes /in/items_2026-01-01.csv and has version 2026-01-01 06:00 UTC."),
        ("schedule: '@weekly'", "takes /in/items_2025-12-28.csv and has version 2025-12-28 00:00 UTC."),
        ("schedule: null", "takes /in/items_2026-01-01.csv and has version 2026-01-01 12:00 UTC."),
    ],
)
def test_an_example_of_the_file_and_version_of_a_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, said: str
) -> None:
    monkeypatch.setenv("MILLRACE_INBOX", "/in")
    dataset = make_dataset(tmp_path, ITEMS + more)
    assert ingest.shown_example(dataset) == f"So a run for 2026-01-01 12:00 UTC {said}"


def test_an_example_where_only_airflow_knows_the_file(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("{{ inbox }}", "{{ var.value.place }}") + "start_date: 2026-03-01")
    said = "So a run for 2026-03-01 12:00 UTC has version 2026-03-01 00:00 UTC."
    assert ingest.shown_example(dataset) == said
