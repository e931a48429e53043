"""Datasets without Airflow: `python -m include.ingest COMMAND`. Each command is a module of `include.ingest.commands`.

Exit code: 0 done, 3 over the reject limit or the delete limit, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from typing import Protocol

from include.ingest.commands import check, preview, rejected, replay, run
from include.ingest.commands.options import Subparsers
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
    return COMMANDS[options.command].run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ingest", description=__doc__)
    kinds = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add_parser(kinds)
    return parser


if __name__ == "__main__":
    sys.exit(main())
