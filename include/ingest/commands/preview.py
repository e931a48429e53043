"""`preview`: what a run would do with a file; nothing is written.

Exit code 0 where a run would be done or skipped, 3 over a limit, 2 a wrong dataset file or usage, 1 where a run would
fail for anything else.
"""

from __future__ import annotations

import argparse
import json

import psycopg

from include.ingest.commands import options as shared
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.plan import Order
from include.ingest.preview.look import preview
from include.ingest.preview.page import page
from include.ingest.preview.result import Preview


def add_parser(kinds: shared.Subparsers) -> None:
    """Add the subcommand."""
    command = kinds.add_parser(
        "preview", help="what a run would do with a file; nothing is written", description=__doc__
    )
    shared.add_subject(command)
    command.add_argument(
        "--rows", type=shared.size, metavar="N", help="judge by the first N records only, and not by the whole file"
    )
    command.add_argument(
        "--no-database", action="store_true", help="show rows and rejects, and compare them with nothing"
    )
    command.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    dataset = shared.dataset_of(options)
    try:
        found = _preview(options, dataset, shared.order_of(options, dataset))
    except IngestError as error:
        if not options.json:
            raise
        print(json.dumps({"outcome": "failed", "reasons": [str(error)]}))
        return 1
    print(json.dumps(found.as_dict()) if options.json else page(found))
    return 3 if found.over_limit else int(found.outcome == "failed")


def _preview(options: argparse.Namespace, dataset: Dataset, order: Order) -> Preview:
    if options.no_database:
        return preview(None, dataset, order, sample=options.rows)
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        return preview(connection, dataset, order, sample=options.rows)
