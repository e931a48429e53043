"""Writes what was found as a dataset file, with comments that say what was seen and what is in doubt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from include.ingest.infer.inspect import Found
from include.ingest.infer.values import Column

WIDTH = 118  # of a comment
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS_OF_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def doubts_of(found: Found) -> list[str]:
    """What is ambiguous, which a person must decide."""
    return [
        *([] if found.encoding.sure else [_unsure_encoding(found)]),
        *found.doubts,
        *(f"{name}: {doubt}" for name, column in _columns(found) for doubt in column.doubts),
        *found.key.doubts,
    ]


def warnings_of(found: Found) -> list[str]:
    """What a run would reject, or leave out, of this file."""
    said = []
    for name, column in _columns(found):
        if column.misfits:
            shown = ", ".join(f"{odd.text!r} on line {odd.line:,}" for odd in column.odd)
            many = f": {shown}" if shown else ""
            said.append(f"{name}: {_count(column.misfits, 'row')} would be rejected, not {column.type}{many}")
    if not found.layout.fill and (short := int(found.profile.tally.widths[1])):
        said.append(_ragged(found, short, 0, "fewer"))
    if long := int(found.profile.tally.widths[2]):
        said.append(_ragged(found, long, 1, "more"))
    line, count = found.bad_bytes
    if count:
        said.append(
            f"{_count(count, 'row')} with bytes that are no UTF-8 would be rejected, the first on line {line:,}"
        )
    return said


def announced(found: Found) -> int:
    """How many rows a run would reject, at most."""
    widths = found.profile.tally.widths
    short = 0 if found.layout.fill else int(widths[1])
    return sum(column.misfits for column in found.columns) + short + int(widths[2]) + found.bad_bytes[1]


def compose(found: Found, name: str, source: str, shown: str) -> str:
    """The text of the dataset file. `shown` is what the file is called in its comment."""
    return "\n".join([*_head(found, name, source, shown), *_key(found), *_csv(found), *_body(found), *_end()]) + "\n"


def _head(found: Found, name: str, source: str, shown: str) -> Iterator[str]:
    yield "# yaml-language-server: $schema=dataset.schema.json"
    yield from _comment(
        f"From {shown}: {found.rows:,} rows, {found.layout.columns:,} columns; every row was read."
        " What init saw stands in the comments: check them, then delete what you don't need."
    )
    for doubt in doubts_of(found):
        yield from _comment(f"AMBIGUOUS: {doubt}")
    for warning in warnings_of(found):
        yield from _comment(f"REJECTED: {warning}")
    yield f"name: {name}"
    yield f"source: {_scalar(source)}"
    yield f"target: public.{name}"


def _key(found: Found) -> Iterator[str]:
    key = found.key
    for remark in key.remarks:
        named = remark.startswith(tuple(f"{name} " for name in found.names))
        yield from _comment(remark if named else remark[:1].upper() + remark[1:])
    if not key.columns:
        if not key.remarks or not found.rows:
            yield from _comment("No column, and no two of them, identify a row")
        yield "mode: append # no key was found: each run adds all rows of its file"
        return
    columns = ", ".join(found.names[number] for number in key.columns)
    others = "; ".join(" with ".join(found.names[number] for number in other) for other in key.others)
    yield f"key: [{columns}]" + (f" # unique as well: {others}" if others else "")


def _csv(found: Found) -> Iterator[str]:
    """The dialect, and the layout. All that is not a field of every version of `csv` is written here alone."""
    style, layout = found.style, found.layout
    fields: dict[str, object] = {"delimiter": style.delimiter, "quote": style.quote}
    if style.escape:
        fields["escape"] = style.escape
    fields["encoding"] = found.encoding.name
    for note in found.notes:
        yield from _comment(f"{note[:1].upper()}{note[1:]}: so columns are found by their place, not by name.")
    skipped = layout.skip_lines if found.header or not layout.names else layout.data_line - 1
    fields["header"] = found.header
    if skipped:
        fields["skip_lines"] = skipped
        if layout.skip_lines:
            yield from _comment(f"The table begins on line {layout.header_line or layout.data_line:,}.")
    if found.footer.lines:
        fields["footer_lines"] = found.footer.records
        yield from _comment(f"After the table stands: {found.footer.shown}")
    if layout.comment:
        fields["comment"] = layout.comment
    if layout.fill:
        fields["short_rows"] = "fill"
        yield from _comment(f"{_count(int(found.profile.tally.widths[1]), 'row')} have fewer fields than the table.")
    fields["nulls"] = ["", *sorted({word for column in found.columns for word in column.null_words})]
    if found.encoding.word:
        yield from _comment(f"{found.encoding.name}: reads {found.encoding.word!r}")
    yield f"csv: {_flow(fields)}"


def _body(found: Found) -> Iterator[str]:
    yield "columns:"
    for name, column in _columns(found):
        for note in (*column.doubts, *column.notes):
            yield from _comment(note[:1].upper() + note[1:], "  ")
        fields: dict[str, object] = {"type": column.type}
        if found.header and column.name != name:
            fields["source"] = column.name
        if column.nullable:
            fields["nullable"] = True
        fields |= column.options
        if name in [found.names[number] for number in found.key.columns]:
            fields.pop("nullable", None)
        seen = f" # {_one_line(column.seen)}" if column.seen else ""
        yield f"  {name}: {_flow(fields)}{seen}"


def _end() -> Iterator[str]:
    yield "reject_limit: {rows: 1000, ratio: 0.01}"
    yield 'schedule: "@daily"'


def _columns(found: Found) -> Iterator[tuple[str, Column]]:
    return zip(found.names, found.columns, strict=True)


def _unsure_encoding(found: Found) -> str:
    encoding = found.encoding
    others = f"; {', '.join(encoding.others)} would read it as well" if encoding.others else ""
    return f"the encoding is no UTF-8, and most likely {encoding.name}, which reads {encoding.word!r}{others}"


def _ragged(found: Found, count: int, which: int, words: str) -> str:
    places = found.profile.tally.ragged(which)
    shown = ", ".join(f"line {line:,} ({width})" for line, width in places[:5])
    return f"{_count(count, 'row')} with {words} than {found.layout.columns:,} fields would be rejected: {shown}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _comment(text: str, indent: str = "") -> Iterator[str]:
    """Lines of a comment."""
    line = f"{indent}#"
    for word in _one_line(text).split(" "):
        if len(line) + len(word) >= WIDTH and line != f"{indent}#":
            yield line
            line = f"{indent}#  "
        line += f" {word}"
    yield line


def _one_line(text: str) -> str:
    """Without anything that would end a comment, or that no YAML may hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _flow(fields: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in fields.items()) + "}"


def _scalar(value: object) -> str:
    """A value as YAML writes it: quoted wherever it might be read as something else."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    text = str(value)
    if text == '"':
        return "'\"'"
    if isinstance(value, int) or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML):
        return text
    if re.fullmatch(r"[a-z][a-z ]*[a-z](\(\d+\))?", text) and text not in _WORDS_OF_YAML:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
