"""What several subcommands take: their arguments, and the dataset and the order that these make."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from include.ingest.dataset import places
from include.ingest.dataset.definition import Dataset, DeleteLimit
from include.ingest.dataset.rendering import interval_for, rendered
from include.ingest.dataset_file import load_dataset
from include.ingest.plan import Order
from include.ingest.source.storage import Storage, place_of, scratch_of

Subparsers = Any  # argparse has no public name for what `add_subparsers` gives


def add_subject(command: argparse.ArgumentParser) -> None:
    """The dataset, its file, its date, and what overrides the dataset."""
    command.add_argument("dataset", help="the dataset's YAML file, or the name of one in $MILLRACE_DATASETS")
    command.add_argument(
        "file", type=_file, nargs="?",
        help="the CSV file, or its URL; also compressed with gzip or zstd (default: what `source` says for the date)",
    )  # fmt: skip
    add_dsn(command)
    command.add_argument("--chunk-bytes", type=size, metavar="N", help="size of a chunk, instead of the dataset's")
    command.add_argument(
        "--date", type=instant, metavar="YYYY-MM-DD[THH:MM]",
        help="logical date, in UTC unless it has an offset: the run has the version of the data interval that holds it"
        " (default: the last complete interval by the dataset's schedule, as the scheduler's latest run; without a"
        " schedule: now). Rows of a newer version are not overwritten",
    )  # fmt: skip
    command.add_argument("--force", action="store_true", help="even if the same file was already ingested")
    command.add_argument(
        "--delete-rows", type=_rows, metavar="N",
        help="most rows of the table that mode replace may delete, instead of the dataset's limit",
    )  # fmt: skip
    command.add_argument(
        "--delete-ratio", type=_ratio, metavar="0..1", help="most of the table that it may delete; 1: all of it"
    )


def add_dsn(command: argparse.ArgumentParser) -> None:
    """The warehouse."""
    command.add_argument("--dsn", default="", help="the warehouse (default: libpq's environment variables)")


def dataset_of(options: argparse.Namespace) -> Dataset:
    """The dataset with what the options override. Raises DatasetError."""
    dataset = load_dataset(places.named(options.dataset))
    limit = dataset.delete_limit
    changes: dict[str, object] = {
        "delete_limit": DeleteLimit(
            rows=limit.rows if options.delete_rows is None else options.delete_rows,
            ratio=limit.ratio if options.delete_ratio is None else options.delete_ratio,
        )
    }
    if options.chunk_bytes:
        changes["chunk_bytes"] = options.chunk_bytes
    return dataset.model_copy(update=changes)


def order_of(options: argparse.Namespace, dataset: Dataset) -> Order:
    """What a run by these options is asked for. Raises SourceUnnamed where no file is given and `source` names none."""
    interval = interval_for(dataset, options.date)
    place = options.file if options.file is not None else place_of(rendered(dataset, interval))
    return Order(uuid4(), place, interval.start, options.force, storage=Storage(scratch_of(os.environ)))


def instant(text: str) -> datetime:
    """A date or a moment, in UTC unless it has an offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date such as 2026-03-01 or 2026-03-01T06:30") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _file(text: str) -> Path | str:
    place = place_of(text)
    return place.resolve() if isinstance(place, Path) else place


def _within(low: float, high: float, kind: Callable[[str], float], said: str) -> Callable[[str], Any]:
    def read(text: str) -> float:
        number = kind(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be {said}")
        return number

    read.__name__ = "number"  # as argparse calls it
    return read


size = _within(1, float("inf"), int, "1 or more")
_rows = _within(0, float("inf"), int, "0 or more")
_ratio = _within(0, 1, float, "from 0 to 1")
