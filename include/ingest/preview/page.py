"""A preview as a page of text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from include.ingest.preview.result import FIRST_REJECTS, Preview, RejectedRecord, RuleRejects

WIDTH = 80
CELL = 24  # characters of a value that are shown
NULL = "NULL"


def page(found: Preview) -> str:
    """The whole page."""
    return "\n".join(line.rstrip() for part in _parts(found) for line in part)


def _parts(found: Preview) -> Iterator[list[str]]:
    yield _head(found)
    yield ["", "First rows, as they would land:" if found.first_rows else "No row would land."]
    yield list(_tables(found.columns, found.first_rows))
    for rule in found.rejects:
        yield list(_rule(rule, several=found.files > 1))
    yield ["", *_counts(found)]
    yield ["", *_outcome(found)]


def _head(found: Preview) -> list[str]:
    files = "" if found.files == 1 else f", {found.files:,} files"
    rows = {
        "dataset": f"{found.dataset} into {found.target}",
        "file": f"{found.file} ({found.bytes:,} bytes{files})",
        "version": found.version,
        "database": found.database or "none was asked",
        "sample": f"only the first {found.sample:,} records were looked at" if found.sample else "",
        "ignored": ", ".join(found.ignored),
        "missing": ", ".join(found.missing),
        "renamed": ", ".join(f"{column} as {name}" for column, name in found.renamed.items()),
        "rescued": ", ".join(found.rescued),
    }
    return [line for name, text in rows.items() if text for line in _wrapped(f"{name:<9}", text)]


def _tables(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Iterator[str]:
    """The rows as a table; columns for which a line has no room follow below."""
    if not rows:
        return
    columns = [[name, *(_cell(row[number]) for row in rows)] for number, name in enumerate(names)]
    columns = [[_cut(text, CELL) for text in column] for column in columns]
    shown: list[list[str]] = []
    for column in columns:
        if shown and _room([*shown, column]) > WIDTH:
            yield from _table(shown)
            yield ""
            shown = []
        shown.append(column)
    yield from _table(shown)


def _room(columns: Sequence[Sequence[str]]) -> int:
    return 2 + sum(max(map(_width, column)) + 2 for column in columns) - 2


def _table(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(_width, column)) for column in columns]
    for number, line in enumerate(zip(*columns, strict=True)):
        yield "  " + "  ".join(_padded(text, width) for text, width in zip(line, widths, strict=True))
        if not number:
            yield "  " + "  ".join("-" * width for width in widths)


def _rule(rule: RuleRejects, *, several: bool) -> Iterator[str]:
    yield ""
    rest = f", the first {FIRST_REJECTS}" if rule.rows > FIRST_REJECTS else ""
    yield f"Rejected by rule {rule.rule}: {rule.rows:,}{rest}:"
    for one in rule.first:
        yield from _wrapped("  ", _where(one, several=several))
        yield from _wrapped("    ", f"raw: {_plain(one.raw)}")


def _where(one: RejectedRecord, *, several: bool) -> str:
    place = f"{one.file}:{one.line}" if several else f"line {one.line:,}"
    value = "" if one.value is None else f" {_plain(one.value)!r}"
    return f"{place}: {f'{one.column}' if one.column else 'the record'}{value}: {one.reason}"


def _counts(found: Preview) -> Iterator[str]:
    for name, number in asdict(found.counts).items():
        yield f"{name:>10}  {'unknown' if number is None else f'{number:,}'}"


def _outcome(found: Preview) -> Iterator[str]:
    for note in found.notes:
        yield from _wrapped("note: ", note)
    said = {"done": "A run would be done.", "skipped": "A run would be skipped: ", "failed": "A run would fail: "}
    yield from _wrapped("", f"{said[found.outcome]}{'; '.join(found.reasons)}".strip())
    yield "Nothing was written."


def _wrapped(head: str, text: str) -> list[str]:
    """The text behind a head, its further lines below its first one."""
    lines = [
        part
        for line in text.splitlines() or [""]
        for part in textwrap.wrap(line, WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return [f"{head if not number else ' ' * len(head)}{line}" for number, line in enumerate(lines)]


def _cell(value: str | None) -> str:
    return NULL if value is None else _plain(value)


def _plain(text: str) -> str:
    """On one line, and with no character that a terminal would obey."""
    words = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(words.get(mark, mark if mark.isprintable() else f"\\x{ord(mark):02x}") for mark in text)


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    """Columns of a terminal that the text takes: wide letters take two, those that stand on others none."""
    wide = sum(unicodedata.east_asian_width(mark) in "WF" for mark in text)
    return len(text) + wide - sum(unicodedata.combining(mark) > 0 for mark in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
