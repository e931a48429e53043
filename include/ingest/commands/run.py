"""`run`: ingest one file. Exit code 0 done, 3 over a limit, 2 a wrong dataset file or usage, 1 anything else."""

from __future__ import annotations

import argparse
import sys
from uuid import UUID

import psycopg

from include.ingest import ledger
from include.ingest.commands import options as shared
from include.ingest.commands.account import show
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.ledger import Account
from include.ingest.plan import Order
from include.ingest.run import run as run_order
from include.warehouse import migrate


def add_parser(kinds: shared.Subparsers) -> None:
    """Add the subcommand."""
    command = kinds.add_parser("run", help="ingest one file", description=__doc__)
    shared.add_subject(command)
    command.add_argument("--json", action="store_true", help="print the account as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    dataset = shared.dataset_of(options)
    order = shared.order_of(options, dataset)
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        migrate.apply(connection)
        account = _run(connection, dataset, order, as_json=options.json)
    show(account, as_json=options.json)
    if account.warning():
        print(f"warning: {account.warning()}", file=sys.stderr)
    return 0


def _run(connection: psycopg.Connection, dataset: Dataset, order: Order, *, as_json: bool) -> Account:
    try:
        return run_order(connection, dataset, order)
    except IngestError:
        failed = _failed_account(connection, order.run_id)
        if failed is not None:
            show(failed, as_json=as_json)
        raise


def _failed_account(connection: psycopg.Connection, run_id: UUID) -> Account | None:
    with connection.cursor() as cursor:
        return ledger.account(cursor, run_id) if ledger.status_of(cursor, run_id) else None
