"""What of a file is its table: lines before it, its header, comments in it, lines after it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from include.ingest.infer.dialect import Row, Style, kind_of, rows_of, widths_of

MOST_BEFORE, MOST_AFTER = 60, 12  # lines
_TOTAL = re.compile(
    r"(?i)\W*(grand )?(sub)?(total|totals|sum|summe|gesamt|gesamtsumme|insgesamt|somme|totale|suma"
    r"|end of (file|report|data)|eof|end|ende|trailer|trl|footer|rows?|records?|anzahl|count|datensätze|zeilen"
    r"|source|quelle|note|notes|hinweis"
    r"|generated|erstellt|copyright|stand|report|printed|page|seite|-- ?)\b.*"
    r"|\W*\d[\d., ]* (rows?|records?|zeilen|datensätze)\b.*|\(\d+ rows?.*|[-=_*]{3,}"
)
_NAME = re.compile(r"[^\W\d][\w .:/()\[\]#%&°€$²³µ'?@*+-]{0,63}", re.UNICODE)
_NAMES = {
    "id", "name", "date", "datum", "time", "type", "code", "key", "value", "amount", "price", "city", "country",
    "status",
    "email", "year", "month", "day", "title", "description", "number", "nr", "no", "count", "total", "state",
    "address",
    "first_name", "last_name", "age", "url", "x", "y", "z", "lat", "lon", "latitude", "longitude", "category", "region",
    "betrag", "preis", "ort", "land", "menge", "quantity", "sex", "gender", "zip", "phone", "comment", "notes", "label",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Lines are physical ones, and so are their numbers."""

    columns: int
    names: list[str]  # of the header; empty where there is none
    header_line: int = 0  # 0: there is no header
    data_line: int = 1  # the line on which the first record begins
    header_rows: int = 1
    comment: str | None = None
    fill: bool = False
    doubts: list[str] = field(default_factory=list)
    first_is_name: bool = False  # whether it is the first column that the header does not name

    @property
    def skip_lines(self) -> int:
        """Lines before the header, or before the first record where there is none."""
        return (self.header_line or self.data_line) - 1


def layout_of(text: str, style: Style) -> Layout:
    """The layout of the beginning of a text."""
    rows = rows_of(text, style)
    if not rows:
        return Layout(1, [])
    comment = _comment(rows)
    table = [row for row in rows if not (comment and row.cells[0].startswith(comment))] or rows
    width, fill = _width(table)
    first = _first(table, width, fill=fill)
    body = table[first:]
    header, doubt = _has_header(body, width)
    line = body[0].line
    if not header:
        return Layout(width, [], 0, line, 1, comment, fill, doubt)
    names = [cell.strip() for cell in body[0].cells]
    count = _header_rows(body, width)
    data_line = body[count].line if len(body) > count else 0
    wide = _later_width(body[count:], len(names))
    rest = body[count:]
    unnamed = wide == len(names) + 1 and not all(not row.cells[-1].strip() for row in rest if len(row.cells) == wide)
    return Layout(wide or width, names, line, data_line, count, comment, fill, doubt, unnamed)


def _comment(rows: Sequence[Row]) -> str | None:
    """The letter of comment lines, if there are some."""
    main = _mode(rows)
    marked = [number for number, row in enumerate(rows) if row.cells[0].startswith("#")]
    if not marked or len(marked) > len(rows) * 0.5 or len(rows) - len(marked) < 1:
        return None
    last = marked[-1]
    names_it = len(rows[last].cells) == main and main > 1 and last + 1 < len(rows)
    if names_it and len(marked) == 1 and last < MOST_BEFORE:
        return None  # the header: #id,name
    if any(len(rows[number].cells) == main and main > 1 and number > 0 for number in marked[:-1]):
        return "#" if all(not rows[number].cells[0][1:].strip().isdigit() for number in marked) else None
    return None if names_it else "#"


def _mode(rows: Sequence[Row]) -> int:
    """The width that most records have; the greater one of equals."""
    widths = widths_of(rows)
    return max(widths, key=lambda width: (widths[width], width))


def _width(rows: Sequence[Row]) -> tuple[int, bool]:
    """The table's width, and whether records may lack fields at their end."""
    later = rows[min(len(rows) // 3, MOST_BEFORE) :] if len(rows) > 6 else rows
    width = _mode(later)
    if len(rows) > 2 and width == 1:
        wider = _mode([row for row in rows if len(row.cells) > 1] or rows)
        width = wider if widths_of(rows)[wider] >= 2 and widths_of(rows)[wider] > 0.3 * len(rows) else width
    count = widths_of(rows)
    widest = max(count)
    top = next((len(row.cells) for row in rows if len(row.cells) > 1), width)
    if top == widest > width and count[width] < 0.9 * len(rows) and len(count) > 2:
        return top, True
    short = sum(times for one, times in count.items() if 1 < one < width)
    return width, short > 0.01 * len(rows) and short >= 2 and len(rows) > 4


def _first(rows: Sequence[Row], width: int, *, fill: bool) -> int:
    """Which record is the table's first: the ones before it are of another width, or nearly empty."""
    filled = [sum(bool(cell.strip()) for cell in row.cells) for row in rows]
    usual = median(filled[min(len(filled) - 1, 3) :]) if filled else 0
    for number, row in enumerate(rows[:MOST_BEFORE]):
        near = len(row.cells) in (width, width - 1) and width > 1 and number + 1 < len(rows)
        if len(row.cells) != width:  # a header that does not name the first column, as R writes it
            kinds = [kind_of(cell.strip()) for cell in rows[number + 1].cells] if near else []
            near = near and number == 0 and len(kinds) == width > 2 and ("number" in kinds or "typed" in kinds)
        if (len(row.cells) == width or near) and (filled[number] > 0.5 * usual or width == 1 or (fill and number == 0)):
            return number
    return next((number for number, row in enumerate(rows) if len(row.cells) == width), 0)


def _later_width(rows: Sequence[Row], width: int) -> int:
    """The width of records where all have one more or one less than the header."""
    count = Counter(len(row.cells) for row in rows)
    if count and abs(_mode(rows) - width) == 1 and count[width] == 0:
        return _mode(rows)
    return width


def _has_header(body: Sequence[Row], width: int) -> tuple[bool, list[str]]:
    """Whether the first record names the columns."""
    head, rest = body[0].cells, [row.cells for row in body[1:300]]
    cells = [cell.strip() for cell in head]
    while cells and not cells[-1]:
        cells.pop()
    if not cells:
        return False, []
    if not rest:
        names = all(_NAME.fullmatch(cell) for cell in cells)
        return names, ["there is one record only: it is taken for the header"] if names else []
    if len(head) == width - 1 and all(kind_of(cell) != "number" for cell in cells):
        return True, []
    points, numbers = 0.0, 0
    for column, cell in enumerate(head[:width]):
        cell = cell.strip()
        below = [row[column].strip() for row in rest if column < len(row)]
        points += _vote(cell, [value for value in below if value])
        numbers += kind_of(cell) in ("number", "typed")
    distinct = len({cell.lower() for cell in cells}) == len(cells)
    points += 0.5 if distinct and width > 1 else -1.0 if width > 1 else 0
    points += 0.4 * sum(cell.lower() in _NAMES for cell in cells)
    points -= 0.6 * sum(not cell.strip() for cell in head[1:])
    years = [cell for cell in cells if re.fullmatch(r"(19|20)\d\d", cell)]
    if numbers and len(years) == numbers and len(years) >= 2 and kind_of(cells[0]) == "text":
        return True, []  # years name columns, as in a table of figures by year
    found = points > 0 and numbers <= 0.35 * len(cells)
    unsure = abs(points) < 0.45 * max(1, width / 4) and numbers == 0
    shown = ", ".join(cells[:4])
    doubt = f"whether line {body[0].line:,} ({shown}) is the header: it is {'' if found else 'not '}taken for it"
    return found, [doubt] if unsure else []


NOTHING = ("na", "n/a", "nan", "null", "none", "-", "?", ".", "k.a.", "\\n", "--", "inf", "-inf")


def _vote(cell: str, below: Sequence[str]) -> float:
    """For or against a name, by one column."""
    if not below:
        return 0.2 if _NAME.fullmatch(cell) else 0.0
    kinds = Counter(map(kind_of, below))
    main, count = kinds.most_common(1)[0]
    kind = kind_of(cell)
    if kind in ("number", "typed"):
        return -1.5
    if main in ("number", "typed") and count >= 0.7 * len(below):
        sure = count == len(below) > 2
        return 0.0 if not cell or cell.lower() in NOTHING else 2.5 if sure else 1.5
    if not cell:
        return -0.2
    if cell in below:
        return -1.0 if below.count(cell) > 1 or len(below) < 50 else -0.7
    score = 0.0
    lengths = [len(value) for value in below]
    low, high = min(lengths), max(lengths)
    if len(below) > 2 and (len(cell) < low or len(cell) > high):
        score += 0.5
    if re.fullmatch(r"[a-z][a-z0-9]*([_.][a-z0-9]+)+|[a-z]+([A-Z][a-z0-9]+)+|[A-Z]+(_[A-Z0-9]+)+", cell):
        score += 0.4 if not any(re.fullmatch(r"[A-Za-z0-9]+([_.][A-Za-z0-9]+)+", value) for value in below[:20]) else 0
    if _NAME.fullmatch(cell):
        score += 0.15
    else:
        score -= 0.5
    if len(set(below)) <= 0.5 * len(below) and len(below) >= 6:
        score += 0.5  # words that repeat, and this one is none of them
    return score


def _header_rows(body: Sequence[Row], width: int) -> int:
    """2 where the second record is text above columns of numbers, as units are."""
    if len(body) < 4:
        return 1
    second, rest = body[1].cells, [row.cells for row in body[2:40] if len(row.cells) == width]
    if len(second) != width or not rest:
        return 1
    numeric = [
        column for column in range(width)
        if all(kind_of(row[column].strip()) in ("number", "typed", "") for row in rest)
        and any(row[column].strip() for row in rest)
    ]  # fmt: skip
    words = [kind_of(second[column].strip()) for column in numeric]
    texts = sum(word == "text" for word in words)
    short = all(len(cell.strip()) <= 16 for cell in second)
    return 2 if len(numeric) >= 2 and texts >= 2 and "number" not in words and "typed" not in words and short else 1


@dataclass(frozen=True)
class Footer:
    """Lines after the table, and the byte of the tail at which they begin. Blank lines are no records."""

    lines: int = 0
    records: int = 0
    offset: int = 0
    shown: str = ""


def footer_of(tail: bytes, encoding: str, style: Style, layout: Layout) -> Footer:
    """The footer at the end of a file, of which `tail` is the last bytes, from the begin of a line on."""
    lines = tail.splitlines(keepends=True)
    footer = Footer()
    offset, count, records, seen = len(tail), 0, 0, False
    above = _usual([line.decode(encoding, "replace") for line in lines[-60:-1]], style, layout.columns)
    for line in reversed(lines[-MOST_AFTER:]):
        offset -= len(line)
        count += 1
        text = line.decode(encoding, "replace").strip("\r\n")
        if not text.strip():
            continue
        if count >= len(lines) or not _is_footer(text, style, layout, above):
            break
        records += 1
        if text.strip(style.delimiter + " "):
            footer, seen = Footer(count, records, offset, text[:60]), True
    if not seen or not above:
        return Footer()
    while footer.lines < len(lines) and not lines[-footer.lines - 1].strip():
        blank = len(lines[-footer.lines - 1])
        footer = replace(footer, lines=footer.lines + 1, offset=footer.offset - blank)
    return footer


def _usual(lines: Sequence[str], style: Style, width: int) -> list[list[str]]:
    """Records of the usual width among lines."""
    found = [row.cells for line in lines for row in rows_of(line, style, 1)]
    return [cells for cells in found if len(cells) == width]


def _is_footer(text: str, style: Style, layout: Layout, above: Sequence[Sequence[str]]) -> bool:
    if style.quote and text.count(style.quote) % 2:
        return False  # the end of a field over several lines
    rows = rows_of(text, style, 1)
    if not rows or (layout.comment and text.startswith(layout.comment)):
        return False
    cells = rows[0].cells
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled:
        return len(above) > 0 and layout.columns > 1 and not any(all(not c.strip() for c in row) for row in above[:-3])
    said = bool(_TOTAL.fullmatch(filled[0]))
    column = next(number for number, cell in enumerate(cells) if cell.strip())
    kinds = Counter(kind_of(row[column].strip()) for row in above if column < len(row))
    stranger = not kinds or kind_of(filled[0]) != kinds.most_common(1)[0][0] or not kinds[kind_of(filled[0])]
    if len(cells) == layout.columns and layout.columns > 1:
        values = {row[column].strip() for row in above if column < len(row)}
        return said and filled[0] not in values and (stranger or len(filled) < 0.7 * _filled(above))
    if layout.columns == 1:
        return False
    return (said and (stranger or len(filled) <= 2)) or (len(filled) == 1 and stranger and len(cells) == 1)


def _filled(rows: Sequence[Sequence[str]]) -> float:
    return median([sum(bool(cell.strip()) for cell in row) for row in rows]) if rows else 0
