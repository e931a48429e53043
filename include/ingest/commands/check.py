"""`check`: dataset files alone, with each other, and with `--dsn` against a warehouse; nothing is written.

Exit code 0 where nothing is wrong, 1 for a fault, 2 for bad usage, a file or folder that is not there, or a warehouse
that can't be reached. A warning is no fault unless --strict makes it one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

from include.ingest.check.files import check_file, check_together
from include.ingest.check.result import Checked
from include.ingest.check.warehouse import check_target
from include.ingest.commands import options as shared
from include.ingest.dataset import places
from include.ingest.errors import DatasetError


def add_parser(kinds: shared.Subparsers) -> None:
    """Add the subcommand."""
    command = kinds.add_parser("check", help="check dataset files; nothing is written", description=__doc__)
    command.add_argument(
        "files", nargs="*", help="dataset files, folders of them, or names (default: all in $MILLRACE_DATASETS)"
    )
    command.add_argument("--dsn", help="compare with this warehouse too; empty: by libpq's environment variables")
    command.add_argument(
        "--date", type=shared.instant, metavar="YYYY-MM-DD[THH:MM]",
        help="logical date whose file is looked for (default: that of the scheduler's latest run)",
    )  # fmt: skip
    command.add_argument("--offline", action="store_true", help="look for no files, as in a pre-commit hook")
    command.add_argument("--strict", action="store_true", help="take warnings for faults")
    command.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    try:
        files = _files(options.files)
        found = [check_file(file, options.date, look=not options.offline) for file in files]
        check_together(found)
        if options.dsn is not None:
            _check_targets(options.dsn, found)
    except psycopg.OperationalError as error:
        print(f"the warehouse can't be reached: {error}", file=sys.stderr)
        return 2
    faults = sum(len(one.faults) for one in found)
    warnings = sum(len(one.warnings) for one in found)
    if options.json:
        print(json.dumps({"files": [one.as_dict() for one in found], "faults": faults, "warnings": warnings}))
    else:
        _show(found, faults, warnings)
    return int(faults > 0 or (options.strict and warnings > 0))


def _files(named: Sequence[str]) -> list[Path]:
    """The files that the arguments mean, each once. Raises DatasetError for one that is not there."""
    if not named:
        return places.files_in()
    files: list[Path] = []
    for text in named:
        folder = Path(text)
        files += places.files_in([folder]) if folder.is_dir() else [places.named(text)]
    for file in files:
        if not file.is_file():
            raise DatasetError(f"{file}: there is no such file")
    return list(dict.fromkeys(files))


def _check_targets(dsn: str, found: Sequence[Checked]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for one in found:
            if one.dataset is not None:
                check_target(connection, one)


def _show(found: Sequence[Checked], faults: int, warnings: int) -> None:
    for one in found:
        if not one.faults:
            print(f"{one.file}: {'ok, with warnings' if one.warnings else 'ok'}")
        for name, fact in one.facts.items():
            print(f"  {name:<9} {fact}")
        for line in one.faults:
            print(line)
        for line in one.warnings:
            print(f"{line} (warning)")
    print(f"{len(found):,} dataset files, {faults:,} faults, {warnings:,} warnings")
