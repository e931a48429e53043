"""What the subcommands for rejected rows share: their arguments, and how they reach dataset and warehouse."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg

from include.ingest.commands import options as shared
from include.ingest.dataset import places
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.warehouse import migrate

Act = Callable[[psycopg.Connection[Any], Dataset, argparse.Namespace], None]


def add_subject(command: argparse.ArgumentParser) -> None:
    """The dataset and the warehouse."""
    command.add_argument("dataset", help="the dataset's YAML file, or the name of one in $MILLRACE_DATASETS")
    shared.add_dsn(command)


def add_choice(command: argparse.ArgumentParser, *, run_needed: bool) -> None:
    """Which rows, who asks, and how it is printed."""
    command.add_argument("--run", type=UUID, metavar="RUN_ID", required=run_needed, help="of this run")
    command.add_argument("--rule", help="rows that broke this rule only")
    command.add_argument("--who", default=None, help="who asks for it (default: the system's user)")
    command.add_argument("--json", action="store_true", help="print JSON, an object a line")


def act(what: Act, options: argparse.Namespace) -> int:
    """Do it with the dataset on the warehouse, and return the exit code."""
    dataset = load_dataset(places.named(options.dataset))
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        migrate.apply(connection)
        what(connection, dataset, options)
    return 0


def who(options: argparse.Namespace) -> str:
    """The name that the ledger is to keep."""
    return options.who or getpass.getuser()
