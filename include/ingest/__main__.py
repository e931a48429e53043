"""Datasets without Airflow: `python -m include.ingest COMMAND`. Each command is a module of `include.ingest.commands`.

Exit code: 0 done, 3 over the reject limit or the delete limit, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from typing import Protocol

import psycopg

from include.ingest.commands import check, preview, rejected, replay, run
from include.ingest.commands.options import Subparsers
from include.ingest.errors import DatasetError, DeleteLimitExceeded, IngestError, RejectLimitExceeded
from include.ingest.infer import command as init


class Command(Protocol):
    """A module of this shape."""

    def add_parser(self, kinds: Subparsers) -> None:
        """Add the subcommand's parser."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit code."""


# In the order in which --help shows them.
COMMANDS: dict[str, Command] = {
    "init": init,
    "check": check,
    "preview": preview,
    "run": run,
    "rejected": rejected,
    "replay": replay,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except IngestError as error:
        print(error, file=sys.stderr)
        return _exit_code(error)
    except psycopg.OperationalError as error:
        otherwise = ", or say --no-database" if "no_database" in options else ""
        print(
            f"the warehouse can't be reached: {error}. Give --dsn or set PGHOST and PGDATABASE{otherwise}.",
            file=sys.stderr,
        )
        return 1


def _exit_code(error: IngestError) -> int:
    if isinstance(error, DatasetError):
        return 2
    return 3 if isinstance(error, RejectLimitExceeded | DeleteLimitExceeded) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ingest", description=__doc__)
    kinds = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add_parser(kinds)
    return parser


if __name__ == "__main__":
    sys.exit(main())
