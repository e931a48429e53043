"""The command lines, from their parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from include.ingest import __main__ as ingest
from stack.reference.markdown import code, page, table
from stack.settings import REPOSITORY


def write(stack: argparse.ArgumentParser) -> str:
    """The page. `stack` is the parser of `./run`."""
    parts = [
        part
        for title, parser in (*_of(stack, "./run"), *_of_ingest())
        if (rows := list(_options(parser)))
        for part in (f"## {title}", table(["option", "meaning"], rows))
    ]
    return page("Commands", f"```text\n{_usage()}\n```", *parts)


def _of_ingest() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """What loads stands behind `./run ingest`, what only looks behind `./run dataset`."""
    for name, parser in _of(ingest._parser(), ""):
        kind = name.strip()
        ways = {"run": "./run ingest", "rejected": "./run ingest rejected", "replay": "./run ingest replay"}
        yield ways.get(kind, f"./run dataset {kind}"), parser


def _usage() -> str:
    """What `./run help` prints."""
    text = (REPOSITORY / "run").read_text()
    return text.partition("cat <<'EOF'\n")[2].partition("\nEOF\n")[0]


def _of(parser: argparse.ArgumentParser, program: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    (kinds,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    yield from ((f"{program} {name}", one) for name, one in kinds.choices.items())


def _options(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        shown = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
        name = f"{', '.join(action.option_strings)} {shown}".strip() if action.option_strings else action.dest
        yield [code(name), action.help or ""]
