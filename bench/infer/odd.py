"""200 odd files whose truth is known, as they were made by it: tables in the ways in which exports are written."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.infer.truth import Truth

WORDS = [
    "alder",
    "birch",
    "cedar",
    "elm",
    "fir",
    "hazel",
    "larch",
    "maple",
    "oak",
    "pine",
    "rowan",
    "spruce",
    "willow",
    "yew",
]
FIRST = ["Jürgen", "Zoë", "André", "Mia", "Søren", "Łukasz", "Anna", "Noël", "Çelik", "Ivan"]
LAST = ["Müller", "Groß", "O'Neill", "García", "Nuñez", "Smith", "Lefèvre", "Weiß", "Brown", "Öztürk"]
CITIES = ["Köln", "Zürich", "London", "São Paulo", "Málaga", "Paris", "Gießen", "New York"]


@dataclass(frozen=True)
class Table:
    """Names, PostgreSQL types and cells of a table; `key` are the columns that identify a row."""

    names: list[str]
    types: list[str]
    rows: list[list[str]]
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Style:
    """How a table is written."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    bom: bool = False
    end: str = "\n"
    header: bool = True
    quoting: str = "needed"  # needed, all, text
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    comments: int = 0
    short: bool = False
    last_end: bool = True
    spaces: bool = False


def _day(random_: random.Random, form: str, low: int = 1) -> str:
    day, month, year = random_.randint(low, 28), random_.randint(1, 12), random_.randint(2019, 2026)
    return form.format(d=day, m=month, Y=year, y=year % 100)


def orders(random_: random.Random, count: int) -> Table:
    """A shop's orders, as programs write them."""
    rows = [
        [
            str(10_000 + n),
            f"{random_.randint(1, 5000)}",
            f"2026-{random_.randint(1, 12):02}-{random_.randint(1, 28):02}T10:{n % 60:02}:00Z",
            random_.choice(["new", "paid", "sent"]),
            f"{random_.uniform(1, 999):.2f}",
            random_.choice(["true", "false"]),
        ]
        for n in range(count)
    ]
    return Table(
        ["order_id", "customer_id", "placed_at", "status", "amount", "express"],
        ["int", "int", "timestamptz", "text", "numeric", "boolean"],
        rows,
        ("order_id",),
    )


def german(random_: random.Random, count: int) -> Table:
    """A German ledger: decimal commas, points between thousands, days first."""
    rows = [
        [
            f"R-{n:05}",
            _day(random_, "{d:02}.{m:02}.{Y}"),
            f"{random_.randint(1, 99)}.{random_.randint(100, 999)},{random_.randint(10, 99)}",
            random_.choice(["ja", "nein"]),
            random_.choice(LAST),
            random_.choice(CITIES),
        ]
        for n in range(count)
    ]
    return Table(
        ["Rechnungs-Nr.", "Fällig am", "Betrag (€)", "Bezahlt", "Kunde", "Ort"],
        ["text", "date", "numeric", "boolean", "text", "text"],
        rows,
        ("rechnungs_nr",),
    )


def american(random_: random.Random, count: int) -> Table:
    """Months first, commas between thousands, halves of the day."""
    rows = [
        [
            str(n + 1),
            _day(random_, "{m}/{d}/{Y}", 13 if n == 3 else 1),
            f"{random_.randint(1, 99)},{random_.randint(100, 999)}.{random_.randint(10, 99)}",
            f"{random_.randint(1, 12)}:{random_.randint(0, 59):02} {random_.choice(['AM', 'PM'])}",
            f"{random_.randint(501, 99950):05}",
        ]
        for n in range(count)
    ]
    rows[0][4] = "00501"
    return Table(
        ["Invoice #", "Invoice Date", "Total", "Time", "ZIP"],
        ["int", "date", "numeric", "time", "text"],
        rows,
        ("invoice_no",),
    )


def sensors(random_: random.Random, count: int) -> Table:
    """Readings: two columns together identify a row."""
    rows = [
        [
            f"s{n % 4}",
            f"2026-01-{1 + n // 96 % 28:02} {n // 4 % 24:02}:{15 * (n // 96 % 4):02}:{n // 4 % 60:02}",
            f"{random_.gauss(20, 5):.3f}",
            "" if n % 7 == 0 else f"{random_.randint(0, 100)}",
        ]
        for n in range(count)
    ]
    for n, row in enumerate(rows):
        row[1] = f"2026-01-{1 + n // 4 // 24 % 28:02} {n // 4 % 24:02}:00:00"
    return Table(
        ["sensor_id", "measured_at", "temperature", "humidity"],
        ["text", "timestamp", "numeric", "int"],
        rows,
        ("sensor_id", "measured_at"),
    )


def people(random_: random.Random, count: int) -> Table:
    """Names with letters beyond ASCII, notes with delimiters, quotes and line ends."""
    notes = ["", "likes tea", "comes; goes", 'said "hello"', "first line\nsecond line", "a, b and c"]
    rows = [
        [
            str(n + 1),
            random_.choice(FIRST),
            random_.choice(LAST),
            random_.choice(CITIES),
            _day(random_, "{Y}-{m:02}-{d:02}"),
            notes[n % len(notes)],
        ]
        for n in range(count)
    ]
    return Table(
        ["id", "first name", "last name", "city", "born", "note"],
        ["int", "text", "text", "text", "date", "text"],
        rows,
        ("id",),
    )


def products(random_: random.Random, count: int) -> Table:
    """Codes that look like numbers."""
    rows = [
        [
            f"{n * 37 % 99_991:06}",
            f"40{random_.randint(10**10, 10**11 - 1)}",
            f"{random_.choice(WORDS)} {random_.randint(1, 9)}",
            f"{random_.uniform(0, 90):.2f}",
            random_.choice(["Y", "N"]),
            f"{random_.randint(0, 20)}",
        ]
        for n in range(count)
    ]
    return Table(
        ["sku", "ean", "title", "price", "active", "stock"],
        ["text", "int", "text", "numeric", "boolean", "int"],
        rows,
        ("sku",),
    )


def events(random_: random.Random, count: int) -> Table:
    """Uuids, JSON, floats with exponents, instants with offsets."""
    rows = [
        [
            "-".join(f"{random_.getrandbits(4 * size):0{size}x}" for size in (8, 4, 4, 4, 12)),
            f'{{"a": {n}, "b": ["x", "y"]}}',
            f"{random_.uniform(0, 1):.6e}",
            f"2026-02-{random_.randint(1, 28):02}T{random_.randint(0, 23):02}:09:07.{random_.randint(0, 999):03}+02:00",
            random_.choice(["", "x", "y"]),
        ]
        for n in range(count)
    ]
    return Table(
        ["event_id", "payload", "weight", "at", "tag"],
        ["uuid", "jsonb", "double", "timestamptz", "text"],
        rows,
        ("event_id",),
    )


def texts(random_: random.Random, count: int) -> Table:
    """Words only, so that no type tells the header."""
    rows = [
        [random_.choice(WORDS), random_.choice(CITIES[:3]), random_.choice(["red", "green", "blue"])]
        for _ in range(count)
    ]
    return Table(["tree_name", "home_city", "favourite_colour"], ["text"] * 3, rows)


def nulls(random_: random.Random, count: int) -> Table:
    """Words that stand for nothing."""
    word = random_.choice(["NULL", "N/A", "k.A.", "-", "NA", "n/a", "\\N", "?"])
    rows = [
        [
            str(n + 1),
            word if n % 5 == 2 else f"{random_.uniform(0, 100):.1f}",
            word if n % 6 == 1 else _day(random_, "{Y}-{m:02}-{d:02}"),
            random_.choice(WORDS),
        ]
        for n in range(count)
    ]
    return Table(["nr", "value", "day", "tree"], ["int", "numeric", "date", "text"], rows, ("nr",))


def wide(random_: random.Random, count: int) -> Table:
    """Figures by year."""
    years = [str(year) for year in range(1996, 2026)]
    rows = [[f"Land {n}", *(f"{random_.uniform(0, 1e6):.1f}" for _ in years)] for n in range(count)]
    return Table(["country", *years], ["text", *["numeric"] * len(years)], rows, ("country",))


def single(random_: random.Random, count: int) -> Table:
    """One column."""
    return Table(["email"], ["text"], [[f"{random_.choice(WORDS)}{n}@example.com"] for n in range(count)], ("email",))


TABLES: dict[str, Callable[[random.Random, int], Table]] = {
    maker.__name__: maker
    for maker in (orders, german, american, sensors, people, products, events, texts, nulls, wide, single)
}
TITLE = ("Monthly report", "Created by: export service", "")
STYLES: dict[str, Style] = {
    "plain": Style(),
    "semicolons": Style(";", end="\r\n"),
    "tabs": Style("\t"),
    "pipes": Style("|"),
    "all quoted": Style(quoting="all", end="\r\n"),
    "text quoted": Style(";", quoting="text"),
    "apostrophes": Style(",", "'", quoting="all"),
    "backslashes": Style(",", '"', "\\"),
    "bom": Style(";", bom=True, end="\r\n"),
    "cp1252": Style(";", encoding="cp1252", end="\r\n"),
    "old mac": Style(end="\r"),
    "no header": Style(header=False),
    "no header, tabs": Style("\t", header=False),
    "title above": Style(";", before=TITLE),
    "title above, commas": Style(before=("Sales, all regions", "")),
    "title padded": Style(before=("Report{pad}", "{pad}")),
    "total below": Style(after=("Total rows: {count}",)),
    "total below, padded": Style(";", before=TITLE, after=("", "Total;{count}")),
    "comments": Style(comments=3),
    "carets": Style("^"),
    "no last line end": Style(last_end=False),
    "spaces after": Style(spaces=True),
    "short": Style(short=True),
    "tildes, cp1252": Style("~", encoding="cp1252"),
}
SHORTEST, LONGEST = 12, 400


@dataclass(frozen=True)
class Odd:
    """A file and its truth."""

    name: str
    data: bytes
    truth: Truth


def files(count: int = 200, seed: int = 19) -> Iterator[Odd]:
    """The same files for the same seed: every style with every table, in turn, until there are enough."""
    kinds = [(table, style) for style in STYLES for table in TABLES if _fits(table, STYLES[style])]
    random_ = random.Random(seed)
    random_.shuffle(kinds)
    for number in range(count):
        table, style = kinds[number % len(kinds)]
        maker = random.Random(f"{seed} {number}")
        rows = maker.randint(SHORTEST, LONGEST)
        yield _written(
            f"{number:03}-{table}-{style.replace(', ', '-').replace(' ', '-')}.csv",
            TABLES[table](maker, rows),
            STYLES[style],
        )


def _fits(table: str, style: Style) -> bool:
    """Whether the table can be written so, and read again by rules."""
    if table == "single":
        return style.delimiter == "," and not (
            style.before or style.after or style.comments or style.short or style.spaces
        )
    if style.quote == "'" and table in ("people", "german"):
        return False
    if table == "texts" and not style.header:
        return False
    if table == "events" and style.spaces:
        return False
    return not (style.end == "\r" and table == "people")


def _written(name: str, table: Table, style: Style) -> Odd:
    width = len(table.names)
    pad = style.delimiter * (width - 1)
    rows = [list(row) for row in table.rows]
    if style.encoding != "utf-8":
        rows = [["".join(c for c in cell if _has(c, style.encoding)) for cell in row] for row in rows]
    types = list(table.types)
    lines = [line.format(pad=pad, count=len(rows)) for line in style.before]
    lines += [_record(table.names, types, style, head=True)] if style.header else []
    ragged = style.short and width > 2
    if ragged:
        rows = [[*row[:-1], ""] if n % 3 == 1 else row for n, row in enumerate(rows)]
    for number, row in enumerate(rows):
        cells = row[:-1] if ragged and number % 3 == 1 else row
        lines.append(_record(cells, types, style))
        if style.comments and number < style.comments:
            lines.append(f"# checked by hand {number}")
    lines += [line.format(pad=pad, count=len(rows)) for line in style.after]
    text = style.end.join(lines) + (style.end if style.last_end else "")
    data = (b"\xef\xbb\xbf" if style.bom else b"") + text.encode(style.encoding)
    quoted = style.quote is not None and style.quote in text
    truth = Truth(
        style.delimiter if width > 1 else "",
        style.quote if quoted else None,
        style.encoding,
        style.header,
        len(rows),
        width,
        len(style.before),
        tuple(types),
        table.key if style.header else (),
        style.escape if style.escape and '\\"' in text else None,
    )
    return Odd(name, data, truth)


def _has(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _record(cells: Sequence[str], types: Sequence[str], style: Style, *, head: bool = False) -> str:
    out = io.StringIO()
    for number, cell in enumerate(cells):
        if number:
            out.write(style.delimiter + (" " if style.spaces else ""))
        out.write(_cell(cell, types[number], style, head=head))
    return out.getvalue()


def _cell(cell: str, kind: str, style: Style, *, head: bool) -> str:
    quote = style.quote or ""
    needed = any(mark in cell for mark in (style.delimiter, quote, "\n", "\r") if mark)
    wanted = style.quoting == "all" or (style.quoting == "text" and (head or kind == "text"))
    if not needed and not (wanted and quote):
        return cell
    if style.spaces and needed:  # a quote after a space has no meaning
        return cell.replace(style.delimiter, " ").replace(quote, "").replace("\n", " ")
    inner = cell.replace(quote, style.escape + quote) if style.escape else cell.replace(quote, quote * 2)
    return f"{quote}{inner}{quote}"
