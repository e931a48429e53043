"""`replay`: rejected rows of a run are loaded once more, through the same checks, as a run of their own (decision 20).

Exit code: 0 done, 3 over the reject limit, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import psycopg

from include.ingest.commands import options as shared
from include.ingest.commands import rows
from include.ingest.commands.account import show
from include.ingest.dataset.definition import Dataset
from include.ingest.replay import replay_run
from include.ingest.source.storage import Storage, scratch_of


def add_parser(kinds: shared.Subparsers) -> None:
    """Add the subcommand."""
    command = kinds.add_parser(
        "replay", help="load rejected rows once more, through the same checks", description=__doc__
    )
    rows.add_subject(command)
    command.add_argument("--id", type=int, nargs="+", metavar="ID", help="these rows only (default: all that are open)")
    rows.add_choice(command, run_needed=True)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    return rows.act(_replay, options)


def _replay(connection: psycopg.Connection[Any], dataset: Dataset, options: argparse.Namespace) -> None:
    account = replay_run.replay(
        connection, dataset, options.run, who=rows.who(options), ids=options.id, rule=options.rule,
        storage=Storage(scratch_of(os.environ)),
    )  # fmt: skip
    show(account, as_json=options.json)
