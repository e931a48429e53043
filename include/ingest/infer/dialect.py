"""Delimiter, quote and escape of a text: the ones by which its records have one width and their cells a type."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

csv.field_size_limit(1 << 30)
DELIMITERS = {
    ",": 1.0,
    ";": 1.0,
    "\t": 1.0,
    "|": 1.0,
    ":": 0.5,
    " ": 0.45,
    "^": 0.8,
    "~": 0.8,
    "#": 0.4,
    "*": 0.4,
    "!": 0.4,
    "&": 0.4,
}
SAMPLE = 96 << 10  # letters of a text that are looked at
ROWS = 600
LEAST_ROWS = 10
_KNOWN = re.compile(
    r"""(?ix)
    [+-]?[$€£]?\s?(?:\d+|\d{1,3}(?:[.,' ]\d{3})+)(?:[.,]\d+)?(?:e[+-]?\d+)?\s?[%$€£]?   # a number
    | [+-]?[.,]\d+
    | \d{1,4}([./-])\d{1,2}\1\d{1,4}
      (?:[T\ ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[ap]m)?\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?)?
    | \d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?[ap]m)?
    | [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | (?:https?|ftp|s3)://\S+
    | \d{1,3}(?:\.\d{1,3}){3}
    | true|false|yes|no|null|n/a|na|none|nan|-
    | \d{1,2}[ -][a-z]{3,9}[ -]\d{2,4} | [a-z]{3,9}\ \d{1,2},\ \d{4}
    """
)
_WORDS = re.compile(r"[^\W_][\w .'’/()&+%-]*", re.UNICODE)  # noqa: RUF001


@dataclass(frozen=True)
class Style:
    """A dialect, as a dataset file says it."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None


@dataclass(frozen=True)
class Row:
    """A record, and the line on which it begins; the first line of the text is 1."""

    line: int
    cells: list[str]


def rows_of(text: str, style: Style, most: int = ROWS) -> list[Row]:
    """The first records of a text, without those that have no bytes. None, if it is none of that dialect."""
    quoting: dict[str, object] = {"quoting": csv.QUOTE_NONE} if style.quote is None else {"quotechar": style.quote}
    if style.escape:
        quoting |= {"escapechar": style.escape, "doublequote": False}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=style.delimiter, **quoting)  # type: ignore[arg-type]
    found, line = [], 1
    try:
        for cells in reader:
            if cells:
                found.append(Row(line, cells))
            line = reader.line_num + 1
            if len(found) == most:
                break
    except csv.Error:
        return []
    return found


def whole_lines(text: str, *, cut: bool) -> str:
    """The text without a last line that may be cut."""
    return text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text if cut else text


def style_of(text: str) -> tuple[Style, str]:
    """The dialect of a text, and what is ambiguous about it; empty where nothing is."""
    sample = text if len(text) <= SAMPLE else whole_lines(text[:SAMPLE], cut=True)
    if len(sample) < len(text) and min(len(rows_of(sample, style)) for style in _styles(sample)) < LEAST_ROWS:
        sample = whole_lines(text[: 16 * SAMPLE], cut=len(text) > 16 * SAMPLE)  # some fields are long
    scores = {style: _score(rows_of(sample, style), style) for style in _styles(sample)}
    best = max(scores, key=lambda style: scores[style])
    if scores[best] < 0.08:
        best = Style(quote=best.quote)
        return best, "" if "," not in sample else "no delimiter makes records of one width: ',' is assumed"
    rivals = [style for style in scores if style.delimiter != best.delimiter and scores[style] > 0.92 * scores[best]]
    if rivals:
        rival = max(rivals, key=lambda style: scores[style])
        return best, f"{rival.delimiter!r} would part fields nearly as well as {best.delimiter!r}"
    return best, ""


def _styles(sample: str) -> Iterator[Style]:
    delimiters = [mark for mark in DELIMITERS if mark in sample] or [","]
    for delimiter in delimiters:
        yield Style(delimiter)
        edge = re.escape(delimiter)
        if '"' in sample:
            yield Style(delimiter, None)
            if '\\"' in sample:
                yield Style(delimiter, '"', "\\")
        elif "\\" + delimiter in sample:
            yield Style(delimiter, '"', "\\")
        if len(re.findall(rf"(?:^|{edge})'[^'\n]*'(?={edge}|\r?$)", sample, re.MULTILINE)) >= 2:
            yield Style(delimiter, "'")
            if "\\'" in sample:
                yield Style(delimiter, "'", "\\")


def widths_of(rows: Sequence[Row]) -> Counter[int]:
    """How many records have each width."""
    return Counter(len(row.cells) for row in rows)


def _score(rows: Sequence[Row], style: Style) -> float:
    """From 0 to 1: whether most records have one width, and their cells a type."""
    if not rows:
        return 0.0
    kept = rows[:-1] if len(rows) > 3 else rows  # the last one may be cut
    width = _main_width(kept)
    same = [row for row in kept if len(row.cells) == width]
    if width < 2:
        return 0.02 * sum(_typed(row.cells[0], style) for row in same[:200]) / len(same[:200])
    share = len(same) / len(kept)
    # Records that lack fields at their end count half.
    short = sum(1 < len(row.cells) < width for row in kept) / len(kept)
    cells = [cell for row in same[:200] for cell in row.cells]
    typed = sum(_typed(cell, style) for cell in cells) / len(cells)
    columns = _alike(same[:200], width)
    size = width / (width + 0.35)
    plain = 0.6 if style.quote is None else 1.0  # quotes have a meaning unless that makes no sense of the records
    points: float = (
        plain * DELIMITERS[style.delimiter] * (share + short / 3) ** 1.5 * typed * (0.6 + 0.4 * columns) * size
    )
    return points


def _main_width(rows: Sequence[Row]) -> int:
    """The width that most records have; lines before a table, and after it, weigh less than the table."""
    widths = widths_of(rows)
    several = {width: count for width, count in widths.items() if width > 1}
    if not several or widths[1] > 4 * max(several.values()) + 10:
        return 1
    return max(several, key=lambda width: (several[width], width))


def _typed(cell: str, style: Style) -> float:
    cell = cell.strip()
    if not cell:
        return 0.85
    if _KNOWN.fullmatch(cell):
        return 1.0
    odd = 1.0
    if cell[0] in "\"'" and (style.quote is None or style.quote != cell[0]) and len(cell) > 1 and cell[-1] == cell[0]:
        odd = 0.3  # its quotes were not seen as such
    elif style.quote and style.quote in cell and style.quote == '"':
        odd = 0.6
    elif cell[0] == '"' or cell[-1] == '"':
        odd = 0.5
    if "\\" in cell and style.escape is None and ('\\"' in cell or cell.endswith("\\")):
        odd *= 0.5
    if _WORDS.fullmatch(cell):
        return 0.9 * odd
    if any(mark in cell for mark in ";|\t") and len(cell) < 60:
        return 0.3 * odd
    return 0.65 * odd


def _alike(rows: Sequence[Row], width: int) -> float:
    """How alike the cells of a column are: the share of columns of numbers, dates or words alone."""
    if len(rows) < 2:
        return 0.5
    good = 0.0
    for column in range(width):
        cells = [row.cells[column].strip() for row in rows[1:]]
        kinds = Counter(kind_of(cell) for cell in cells if cell)
        if kinds:
            good += max(kinds.values()) / sum(kinds.values())
        else:
            good += 0.5
    return good / width


def kind_of(cell: str) -> str:
    """A cell's kind in a word: number, typed (dates and such), text; empty where it is empty."""
    if not cell:
        return ""
    if re.fullmatch(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?%?", cell):
        return "number"
    return "typed" if _KNOWN.fullmatch(cell) else "text"
