"""`python -m include.ingest rejected …` and `… replay …`: rejected rows from the shell.

Exit code: 0 done, 3 over the reject limit, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError, IngestError, RejectLimitExceeded
from include.ingest.replay.corrections import correct, dismiss, reopen
from include.ingest.replay.download import as_csv
from include.ingest.replay.listing import STATES, RejectedRow, count_by_rule, rejected
from include.ingest.replay.replay_run import replay
from include.ingest.source.storage import Storage, scratch_of
from include.warehouse import migrate


def add_parser(commands: Any) -> None:
    """Add the commands `rejected` and `replay` to the subparsers of a command line."""
    look = commands.add_parser("rejected", help="list, count, download, correct or dismiss rejected rows")
    look.add_argument("action", choices=list(_ACTIONS), help="what to do")
    _add_dataset(look)
    look.add_argument("--id", type=int, nargs="+", metavar="ID", default=[], help="rows to correct, dismiss or reopen")
    look.add_argument("--state", choices=STATES, help="rows in this state only")
    look.add_argument("--after", type=int, metavar="ID", help="list the page after this row, the last one of a page")
    look.add_argument("--limit", type=int, default=100, metavar="N", help="rows of a page (default: 100)")
    look.add_argument("--set", action="append", default=[], metavar="COLUMN=VALUE", help="correct one column")
    look.add_argument("--raw", metavar="RECORD", help="correct the whole record")
    look.add_argument("--why", default="", help="why rows are dismissed or reopened")
    again = commands.add_parser("replay", help="load rejected rows once more, through the same checks")
    _add_dataset(again)
    again.add_argument("--id", type=int, nargs="+", metavar="ID", help="these rows only (default: all that are open)")
    for parser in (look, again):
        parser.add_argument("--run", type=UUID, metavar="RUN_ID", required=parser is again, help="of this run")
        parser.add_argument("--rule", help="rows that broke this rule only")
        parser.add_argument("--who", default=None, help="who asks for it (default: the system's user)")
        parser.add_argument("--json", action="store_true", help="print JSON, an object a line")
        parser.set_defaults(act=run)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="the dataset's YAML file")
    parser.add_argument("--dsn", default="", help="the warehouse (default: libpq's environment variables)")


def run(options: argparse.Namespace) -> int:
    """Do what the options ask for and return the exit code."""
    try:
        dataset = load_dataset(options.dataset)
        with psycopg.connect(options.dsn, autocommit=True) as connection:
            migrate.apply(connection)
            act = _replay if options.command == "replay" else _ACTIONS[options.action]
            act(connection, dataset, options)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 2
    except IngestError as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, RejectLimitExceeded) else 1
    except psycopg.OperationalError as error:
        print(f"the warehouse can't be reached: {error}. Give --dsn or set PGHOST and PGDATABASE.", file=sys.stderr)
        return 1
    return 0


def _who(options: argparse.Namespace) -> str:
    return options.who or getpass.getuser()


def _replay(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    storage = Storage(scratch_of(os.environ))
    account = replay(
        connection, dataset, options.run, who=_who(options), ids=options.id, rule=options.rule, storage=storage
    )
    values = account.as_dict()
    if options.json:
        print(json.dumps(values))
    else:
        for name, value in values.items():
            print(f"{name:>10}  {value:,}" if isinstance(value, int) else f"{name:>10}  {value}")


def _list(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    page = rejected(
        connection, dataset=dataset.name, run_id=options.run, rule=options.rule, state=options.state,
        after=options.after, limit=options.limit,
    )  # fmt: skip
    for row in page:
        print(json.dumps(asdict(row), default=str) if options.json else _shown(row))


def _shown(row: RejectedRow) -> str:
    raw, mark = row.raw, "".ljust(len(row.raw))
    for start, end in row.marks:
        mark = mark[:start] + "^" * max(1, end - start) + mark[end:]
    state = row.state + (f" by run {row.replay_run}" if row.replay_run else "") + (", edited" if row.edited else "")
    what = f"{row.column_name}: " if row.column_name else ""
    lines = [f"{row.id}  {row.file}:{row.line_number}  {what}{row.reason} ({row.rule}; {state}; run {row.run_id})"]
    lines += [f"    {raw}"] + ([f"    {mark.rstrip()}"] if row.marks and "\n" not in raw else [])
    return "\n".join(lines + ([f"    now: {row.corrected}"] if row.corrected is not None else []))


def _count(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    for one in count_by_rule(connection, dataset=dataset.name, run_id=options.run):
        shown = f"{one.rule:>12}  {one.open:,} open, {one.replayed:,} replayed, {one.dismissed:,} dismissed"
        print(json.dumps(asdict(one)) if options.json else shown)


def _csv(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    for part in as_csv(connection, dataset, run_id=options.run, rule=options.rule, state=options.state):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _correct(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    wrong = [pair for pair in options.set if "=" not in pair]
    if len(options.id) != 1 or wrong or bool(options.set) == (options.raw is not None):
        raise IngestError("to correct a row, give its --id and either --set COLUMN=VALUE or --raw RECORD")
    fields = dict(pair.split("=", 1) for pair in options.set)
    print(correct(connection, dataset, options.id[0], who=_who(options), fields=fields, raw=options.raw))


def _dismiss(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    print(f"{dismiss(connection, options.id, who=_who(options), why=options.why):,} rows dismissed")


def _reopen(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    print(f"{reopen(connection, options.id, who=_who(options), why=options.why):,} rows opened again")


_ACTIONS = {"list": _list, "count": _count, "csv": _csv, "correct": _correct, "dismiss": _dismiss, "reopen": _reopen}
