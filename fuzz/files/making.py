"""Makes ugly files: what could mislead a reader is frequent in them."""

from __future__ import annotations

from random import Random

from fuzz.files.case import BOM, COPY_ENCODINGS, Case, Form, Sizes

PLAIN = ["", "", "a", "b c", "1", "-2.5", "é€", "ß", "NULL", "\\N", "\\.", ".", "null ", " x ", "\t", "\x1a", "Ж", "한"]
UGLY = ["\0", "\ufeff", "\\", "'", "a'b", '"', "|", ";", "#x", "=1+1", "\x85", "\u2028", "\v\f", "\x1c", "\x7f"]
MARKS = ["", "", "", None, "NULL", "\\N", "-", "a", " "]


def make_case(random: Random, *, whole: bool = False) -> Case:
    """A file and its form."""
    form = _form(random)
    lines = _header(random, form) if form.header else []
    lines += [_line(random, form) for _ in range(random.choice((0, 1, 2, 3, 5, 8, 8, 13)))]
    lines += [_line(random, form) for _ in range(form.footer)]
    lines *= 40 if lines and not form.header and random.random() < 0.02 else 1
    above = form.skip if random.random() < 0.95 else random.randint(0, 3)
    above += random.randint(0, 4) if form.header == "search" else 0
    lines = [_above(random, form) for _ in range(above)] + lines
    if form.comment:
        for _ in range(random.choice((0, 1, 1, 2, 4))):
            lines.insert(random.randint(0, len(lines)), form.comment + _above(random, form))
    end = random.choice(("\n", "\n", "\n", "\r\n", "\r\n", "\r"))
    mixed = random.random() < 0.1
    text = "".join(line + (random.choice(("\n", "\r\n", "\r")) if mixed else end) for line in lines)
    text = random.choice(("", "", "", "", end, end + end)) + text if random.random() < 0.2 else text
    text += random.choice(("", "", end, end * 3, form.delimiter, form.quote or "", form.escape or ""))
    text = text.removesuffix(end) if random.random() < 0.3 else text
    data = text.encode(form.encoding, errors="replace")
    if random.random() < 0.01:
        data = text.encode(random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")), errors="replace")
    if random.random() < 0.15:
        data = _damaged(random, data, form)
    if form.quote is None:
        data = data.replace(b"\x01", b"")
    data = BOM + data if random.random() < 0.06 else data
    sizes = Sizes(
        random.choice((1, random.randint(2, 60), 1 << 30)),
        random.choice((1, random.randint(2, 60), 1 << 20, 1 << 20)),
        max(random.choice((1, random.randint(2, 60), 1 << 20)), len(data) // 50),
    )
    return Case(data, form, sizes, whole)


def _form(random: Random) -> Form:
    names = [f"c{number}" for number in range(random.choice((1, 1, 2, 2, 3, 4)))]
    header: bool | str = random.random() < 0.5
    if header:
        header = "search" if random.random() < 0.2 else True
        random.shuffle(names)
    delimiter, quote = ",", '"'
    if random.random() < 0.5:
        delimiter = random.choice(";|\t:^~ 'a0\\\"")
        quote = random.choice([mark for mark in '"""\'`|~$\\' if mark != delimiter])
    given = None if random.random() < 0.1 else quote
    escape = None
    if random.random() < 0.25:
        escape = random.choice([mark for mark in ("\\", "\\", "^", '"', "'", quote) if mark != delimiter])
    null = random.choice([mark for mark in MARKS if not mark or not set(mark) & {delimiter, quote, escape}])
    encoding = "utf-8" if random.random() < 0.7 else random.choice(list(COPY_ENCODINGS))
    taken = {delimiter, quote, given, escape}
    comment = random.choice([mark for mark in "###%;!c1a~" if mark not in taken]) if random.random() < 0.25 else None
    records = 2 if header and random.random() < 0.2 else 1
    skip = random.choice((1, 1, 2, 3)) if random.random() < 0.2 else 0
    footer = random.choice((1, 1, 2, 3)) if random.random() < 0.2 else 0
    fill = random.random() < 0.25
    return Form(
        tuple(names), delimiter, given, escape, header, null, encoding, comment, records, skip, footer, fill
    )  # fmt: skip


def _above(random: Random, form: Form) -> str:
    """A line that is no CSV, without its end."""
    text = "".join(_atom(random, form) for _ in range(random.randint(0, 4)))
    return text.replace("\n", "").replace("\r", "") if random.random() < 0.9 else text


def _header(random: Random, form: Form) -> list[str]:
    """The header's records, from above."""
    last = _names(random, form)
    if form.header_lines == 1:
        return [last]
    fields = range(len(form.columns) if random.random() < 0.9 else random.randint(1, 3))
    quote = form.quote or ""
    over = form.delimiter.join(f"{quote}over{quote}" if number % 2 else "" for number in fields)
    return [over or form.delimiter.join([" "] * len(fields)), last]


def _names(random: Random, form: Form) -> str:
    names = sorted(form.columns)
    if random.random() < 0.1:
        names.insert(random.randint(0, len(names)), "other")
    if random.random() < 0.03:
        names[random.randrange(len(names))] = random.choice(("", "C0", "c0", "c1", "\0", "c0\0", "é"))
    quote = form.quote if form.quote and random.random() < 0.3 else ""
    if any(set(name) & {form.delimiter, form.quote, form.escape} for name in names):
        quote = form.quote or ""
    return form.delimiter.join(quote + name + quote for name in names)


def _line(random: Random, form: Form) -> str:
    kind = random.random()
    if kind < 0.12:
        return ""
    if kind < 0.2:
        return "".join(_atom(random, form) for _ in range(random.randint(0, 8)))
    if kind < 0.22:
        return random.choice(("\\.", " ", "\t", "\x1a", "#", form.delimiter * 3))
    fields = len(form.columns) if random.random() < 0.92 else random.randint(0, len(form.columns) + 2)
    return form.delimiter.join(_field(random, form) for _ in range(fields))


def _field(random: Random, form: Form) -> str:
    kind = random.random()
    text = "".join(_text(random) for _ in range(random.choice((0, 1, 1, 2))))
    if kind < 0.01:
        text = random.choice("xé") * random.choice((100, 1000, 1000, 1000, 1000, 70_000))
    if kind < 0.06 and form.null is not None:
        text = form.null
    if form.quote and 0.5 < kind < 0.85:
        inner = "".join(random.choice((text, "\n", "\r\n", "\r", form.delimiter, form.quote)) for _ in range(2))
        return form.quote + _escaped(random, inner, form) + form.quote
    if 0.85 < kind < 0.9:
        return text + _atom(random, form)
    meant = {form.delimiter, form.quote, form.escape}
    return "".join(letter for letter in text if letter not in meant)


def _escaped(random: Random, inner: str, form: Form) -> str:
    assert form.quote
    if form.escapes < 0:
        return inner.replace(form.quote, form.quote * 2)
    escape = chr(form.escapes)
    return inner.replace(escape, escape * 2).replace(form.quote, escape + form.quote)


def _text(random: Random) -> str:
    return random.choice(UGLY if random.random() < 0.1 else PLAIN)


def _atom(random: Random, form: Form) -> str:
    quote, escape = form.quote or '"', form.escape or "\\"
    return random.choice((form.delimiter, quote, quote * 2, escape, "\n", "\r", "\r\n", _text(random), quote + "x"))


def _damaged(random: Random, data: bytes, form: Form) -> bytes:
    """Some bytes that went astray."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(data))
        mark = (form.quote or '"').encode()
        piece = random.choice((mark, mark, b"\n", b"\r", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", BOM, b"\\", b"\x81"))
        gone = random.choice((0, 0, 1, 3))
        data = data[:at] + (piece if random.random() < 0.7 else b"") + data[at + gone :]
    return data
