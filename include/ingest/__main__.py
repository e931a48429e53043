"""Run a dataset without Airflow: `python -m include.ingest run include/datasets/orders.yaml orders.csv`.

Exit code: 0 done, 3 over the reject limit or the delete limit, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from include.ingest import ledger
from include.ingest.dataset import interval
from include.ingest.dataset.definition import Dataset, DeleteLimit
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError, DeleteLimitExceeded, IngestError, RejectLimitExceeded
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.replay import command as replaying
from include.ingest.run import run
from include.ingest.source.storage import Storage, place_of, scratch_of
from include.warehouse import migrate


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    if "act" in options:
        return int(options.act(options))
    try:
        dataset = load_dataset(options.dataset)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with psycopg.connect(options.dsn, autocommit=True) as connection:
            migrate.apply(connection)
            return _run(connection, _changed(dataset, options), options)
    except psycopg.OperationalError as error:
        print(f"the warehouse can't be reached: {error}. Give --dsn or set PGHOST and PGDATABASE.", file=sys.stderr)
        return 1


def _changed(dataset: Dataset, options: argparse.Namespace) -> Dataset:
    """The dataset with what the options override."""
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


def _run(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> int:
    version = _version(dataset, options.date)
    order = Order(uuid4(), options.file, version, options.force, storage=Storage(scratch_of(os.environ)))
    try:
        account = run(connection, dataset, order)
    except IngestError as error:
        failed = _failed_account(connection, order.run_id)
        if failed is not None:
            _show(failed, as_json=options.json)
        print(error, file=sys.stderr)
        return 3 if isinstance(error, RejectLimitExceeded | DeleteLimitExceeded) else 1
    _show(account, as_json=options.json)
    if account.warning():
        print(f"warning: {account.warning()}", file=sys.stderr)
    return 0


def _version(dataset: Dataset, date: datetime | None) -> datetime:
    """The start of the data interval of the logical date; without one, that of the scheduler's latest run."""
    if date is not None:
        return interval.holding(dataset.schedule, date).start
    return interval.last_complete(dataset.schedule, datetime.now(UTC)).start


def _failed_account(connection: psycopg.Connection, run_id: UUID) -> Account | None:
    with connection.cursor() as cursor:
        return ledger.account(cursor, run_id) if ledger.status_of(cursor, run_id) else None


def _show(account: Account, *, as_json: bool) -> None:
    values = account.as_dict()
    if as_json:
        print(json.dumps(values))
    else:
        for name, value in values.items():
            print(f"{name:>10}  {value:,}" if isinstance(value, int) else f"{name:>10}  {value}")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date such as 2026-03-01 or 2026-03-01T06:30") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _file(text: str) -> Path | str:
    place = place_of(text)
    return place.resolve() if isinstance(place, Path) else place


def _size(text: str) -> int:
    size = int(text)
    if size < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return size


def _rows(text: str) -> int:
    rows = int(text)
    if rows < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return rows


def _ratio(text: str) -> float:
    ratio = float(text)
    if not 0 <= ratio <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return ratio


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ingest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    replaying.add_parser(commands)
    command = commands.add_parser("run", help="ingest one file")
    command.add_argument("dataset", type=Path, help="the dataset's YAML file")
    command.add_argument("file", type=_file, help="the CSV file, or its URL; also compressed with gzip or zstd")
    command.add_argument("--dsn", default="", help="the warehouse (default: libpq's environment variables)")
    command.add_argument("--chunk-bytes", type=_size, metavar="N", help="size of a chunk, instead of the dataset's")
    command.add_argument(
        "--date", type=_instant, metavar="YYYY-MM-DD[THH:MM]",
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
    command.add_argument("--json", action="store_true", help="print the account as one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
