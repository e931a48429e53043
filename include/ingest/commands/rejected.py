"""`rejected`: a dataset's rejected rows are listed, counted, downloaded, corrected or dismissed.

Exit code: 0 done, 2 bad usage or a wrong dataset file, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import psycopg

from include.ingest.commands import options as shared
from include.ingest.commands import rows
from include.ingest.dataset.definition import Dataset
from include.ingest.errors import IngestError
from include.ingest.replay.corrections import correct, dismiss, reopen
from include.ingest.replay.download import as_csv
from include.ingest.replay.listing import STATES, RejectedRow, count_by_rule, rejected


def add_parser(kinds: shared.Subparsers) -> None:
    """Add the subcommand."""
    command = kinds.add_parser(
        "rejected", help="list, count, download, correct or dismiss rejected rows", description=__doc__
    )
    command.add_argument("action", choices=list(_ACTIONS), help="what to do")
    rows.add_subject(command)
    command.add_argument(
        "--id", type=int, nargs="+", metavar="ID", default=[], help="rows to correct, dismiss or reopen"
    )
    command.add_argument("--state", choices=STATES, help="rows in this state only")
    command.add_argument("--after", type=int, metavar="ID", help="list the page after this row, the last one of a page")
    command.add_argument("--limit", type=int, default=100, metavar="N", help="rows of a page (default: 100)")
    command.add_argument("--set", action="append", default=[], metavar="COLUMN=VALUE", help="correct one column")
    command.add_argument("--raw", metavar="RECORD", help="correct the whole record")
    command.add_argument("--why", default="", help="why rows are dismissed or reopened")
    rows.add_choice(command, run_needed=False)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code."""
    return rows.act(_ACTIONS[options.action], options)


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
    print(correct(connection, dataset, options.id[0], who=rows.who(options), fields=fields, raw=options.raw))


def _dismiss(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    print(f"{dismiss(connection, options.id, who=rows.who(options), why=options.why):,} rows dismissed")


def _reopen(connection: psycopg.Connection, dataset: Dataset, options: argparse.Namespace) -> None:
    print(f"{reopen(connection, options.id, who=rows.who(options), why=options.why):,} rows opened again")


_ACTIONS = {"list": _list, "count": _count, "csv": _csv, "correct": _correct, "dismiss": _dismiss, "reopen": _reopen}
