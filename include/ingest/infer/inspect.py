"""Finds out all that `init` says of a file: encoding, dialect, layout, columns and keys."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from include.ingest.csv.grammar import Dialect
from include.ingest.csv.scan import RecordNotEnded
from include.ingest.errors import IngestError
from include.ingest.infer import names as naming
from include.ingest.infer.dialect import Style, style_of, whole_lines
from include.ingest.infer.encoding import BOM, Encoding, encoding_of
from include.ingest.infer.keys import likeness
from include.ingest.infer.layout import Footer, Layout, footer_of, layout_of
from include.ingest.infer.profile import Cut, Profile, profile
from include.ingest.infer.said import NOTHING, Said
from include.ingest.infer.values import Column, Evidence, Judge
from include.ingest.source import Source
from include.ingest.source.file_signatures import HEAD_BYTES as KIND_BYTES
from include.ingest.source.file_signatures import check_text

HEAD_BYTES, TAIL_BYTES = 2 << 20, 64 << 10
MOST_COLUMNS = 1000  # that are counted by several threads


class NothingFound(IngestError):
    """The file has no records, so nothing can be told of it."""


@dataclass(frozen=True)
class Key:
    """The columns that identify a row, by number; none where no columns do."""

    columns: tuple[int, ...] = ()
    others: tuple[tuple[int, ...], ...] = ()  # that would do as well
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was found in a file."""

    encoding: Encoding
    style: Style
    layout: Layout
    footer: Footer
    columns: list[Column]
    names: list[str]  # of the table's columns
    header: bool  # whether the header's names are used to find columns
    rows: int
    profile: Profile
    key: Key
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad_bytes: tuple[int, int] = (0, 0)  # the first line that has some that are no UTF-8, and how many have


def inspect(source: Source, said: Said = NOTHING, threads: int | None = None) -> Found:
    """Look at a whole file. Raises IngestError."""
    with source.open() as opened:
        size = opened.size
        head = opened.read(0, min(HEAD_BYTES, size))
        tail = opened.read(max(0, size - TAIL_BYTES), min(TAIL_BYTES, size))
    check_text(str(source), head[:KIND_BYTES])
    threads = threads or os.cpu_count() or 1
    encoding = encoding_of(head)
    found = _look(source, size, head, tail, encoding, said, threads)
    if found.profile.bad_sample and encoding.name == "utf-8":
        other = encoding_of(found.profile.bad_sample)
        if other.name != "utf-8":
            return _look(source, size, head, tail, other, said, threads)
    return found


def _look(source: Source, size: int, head: bytes, tail: bytes, encoding: Encoding, said: Said, threads: int) -> Found:
    base = len(BOM) if head.startswith(BOM) else 0
    text = whole_lines(head[base:].decode(encoding.name, "replace"), cut=size > len(head))
    if not text.strip():
        raise NothingFound(f"{source}: the file holds nothing that could be told of")
    style, doubt = style_of(text)
    try:
        return _described(source, size, head, tail, encoding, style, text, [doubt] if doubt else [], said, threads)
    except RecordNotEnded as error:
        if style.quote is None:
            raise
        plain = replace(style, quote=None)
        doubt = f"quotes have no meaning here, as one is never closed: {str(error).partition(': ')[2]}"
        return _described(source, size, head, tail, encoding, plain, text, [doubt], said, threads)


def _described(
    source: Source, size: int, head: bytes, tail: bytes, encoding: Encoding, style: Style, text: str,
    doubts: list[str], said: Said, threads: int,
) -> Found:  # fmt: skip
    layout = layout_of(text, style)
    base = len(BOM) if head.startswith(BOM) else 0
    begin = base + _offset_of(head[base:], layout.data_line) if layout.data_line else size
    footer = _footer(tail, size, begin, encoding.name, style, layout)
    header, names, notes = _names(layout)
    end = size - (len(tail) - footer.offset) if footer.lines else size
    cut = Cut(
        Dialect(
            style.delimiter.encode(),
            *(mark.encode() if mark else None for mark in (style.quote, style.escape, layout.comment)),
        ),
        layout.columns, begin, max(begin, end), layout.data_line, layout.comment, layout.fill,
    )  # fmt: skip
    titles = [*layout.names, *[""] * layout.columns][: layout.columns] if layout.names else list(names)
    asked = _asked(said.key, names, titles)
    if layout.columns > MOST_COLUMNS:
        threads = 1  # each thread counts apart, some 50 kB a column
    seen = profile(source, cut, names, threads, asked)
    evidence = Evidence(
        likely_order=_likely_order(style, seen, text), said_order=said.order, said_mark=said.decimal_mark,
        encoding=encoding.name,
    )  # fmt: skip
    evidence = Judge(seen.tally, titles, seen.rows, evidence).evidence()
    columns = Judge(seen.tally, titles, seen.rows, evidence).columns()
    found = Found(
        encoding, style, layout, footer, columns, names, header, seen.rows, seen, Key(),
        [*doubts, *layout.doubts], notes,
        seen.bad_bytes if seen.bad_bytes and encoding.name == "utf-8" else (0, 0),
    )  # fmt: skip
    return replace(found, key=_key(found, asked))


def _offset_of(head: bytes, line: int) -> int:
    """Where a line begins, which is one of the head's."""
    at = 0
    for _ in range(line - 1):
        found = re.compile(rb"\r\n|\n|\r").search(head, at)
        if found is None:
            return len(head)
        at = found.end()
    return at


def _footer(tail: bytes, size: int, begin: int, encoding: str, style: Style, layout: Layout) -> Footer:
    first = size - len(tail)
    skipped = max(0, begin - first)
    if first > begin:  # the first line of the tail is cut
        skipped = tail.find(b"\n") + 1
    footer = footer_of(tail[skipped:], encoding, style, layout)
    return replace(footer, offset=footer.offset + skipped) if footer.lines else footer


def _names(layout: Layout) -> tuple[bool, list[str], list[str]]:
    """Whether columns are found by the header's names, the table's names for them, and why not by the header's."""
    if not layout.names:
        return False, naming.column_names([""] * layout.columns), []
    titles = list(layout.names)
    notes = []
    if len(titles) > layout.columns:
        titles = titles[: layout.columns]
    if len(titles) < layout.columns:
        lacks = layout.columns - len(titles)
        first = lacks == 1 and len(titles) > 0 and all(titles)
        titles = ["row_name", *titles] if first and layout.first_is_name else [*titles, *[""] * lacks]
        notes.append(f"the header has {len(layout.names):,} names, records have {layout.columns:,} fields")
    if layout.header_rows > 1:
        notes.append(f"the header takes {layout.header_rows} records, of which the first names the columns")
    named = [title for title in titles if title]
    twice = sorted({title for title in named if named.count(title) > 1})
    if twice:
        notes.append(f"the header names {', '.join(map(repr, twice))} more than once")
    if len(named) < len(titles) and len(titles) == len(layout.names):
        empty = ", ".join(str(number) for number, title in enumerate(titles, 1) if not title)
        notes.append(f"the header does not name column {empty}")
    return not notes, naming.column_names(titles), notes


def _asked(key: Sequence[str], names: Sequence[str], titles: Sequence[str]) -> list[int]:
    """The columns that the user names, by their name in the header or in the table."""
    places = []
    for name in key:
        if name in names:
            places.append(list(names).index(name))
        elif name in titles:
            places.append(list(titles).index(name))
        else:
            raise IngestError(f"--key: {name} is none of the columns: {', '.join(names)}")
    return places


def _likely_order(style: Style, seen: Profile, text: str) -> str:
    """Day first or month first, where nothing in the file decides: by the habits of those who write that way."""
    american = style.delimiter == "," and re.search(r"(?i)\d{1,2}:\d\d(:\d\d)? ?[ap]m\b|\$\s?\d", text[:65536])
    return "mdY" if american else "dmY"


def _key(found: Found, asked: Sequence[int]) -> Key:
    """The best key: a column, or a pair, that is unique and without null in the whole file."""
    seen, columns, names = found.profile, found.columns, found.names

    def usable(number: int) -> bool:
        column = columns[number]
        return not column.nullable and column.type not in ("jsonb", "json")

    if asked:
        return _asked_key(found, asked)
    if not seen.rows:
        return Key(remarks=("no record, so no key can be told",))
    choice = seen.hashes.choice
    singles = [(n,) for n in choice.singles if usable(n) and seen.hashes.unique(n)]
    singles.sort(key=lambda one: -_rank(found, one))
    good = [one for one in singles if likeness(names[one[0]], one[0], seen.tally) >= 0]
    remarks = []
    if seen.hashes.share > 1:
        remarks.append(f"told from one in {seen.hashes.share} of all keys, as the file has so many")
    if good:
        few = ("unique in this file, which has so few rows that it may be by accident",) if seen.rows < 20 else ()
        return Key(good[0], tuple(good[1:4]), (*remarks, *few))
    nearly = [n for n in choice.columns if usable(n) and _nearly(found, n)]
    pairs = [
        pair for pair in choice.pairs
        if all(usable(n) for n in pair) and not set(pair) & set(nearly) and not any((n,) in singles for n in pair)
        and seen.hashes.unique(*pair)
    ]  # fmt: skip
    if pairs:
        return Key(pairs[0], tuple(pairs[1:4]), (*remarks, "no column alone is unique; these two together are"))
    for number in nearly[:1]:
        remarks.append(
            f"{names[number]} is nearly unique: {_repeats(found, number)}. If a later row corrects an earlier one,"
            f" set key: [{names[number]}] and mode: upsert"
        )
    if singles:
        shown = ", ".join(names[one[0]] for one in singles[:4])
        remarks.append(f"unique, but only by accident, as such values may repeat: {shown}")
    return Key(remarks=tuple(remarks))


def _rank(found: Found, one: tuple[int, ...]) -> float:
    return sum(likeness(found.names[n], n, found.profile.tally) - n / 1000 for n in one)


def _nearly(found: Found, number: int) -> bool:
    """Whether a column that is named like a key has few rows that repeat another one."""
    if likeness(found.names[number], number, found.profile.tally) < 6:
        return False
    count, _ = found.profile.tally.distinct_of(number)
    return count > 0.9 * found.rows


def _repeats(found: Found, number: int) -> str:
    twice = found.profile.hashes.twice(number) or 0
    return "1 row repeats another" if twice == 1 else f"{twice:,} rows repeat another"


def _asked_key(found: Found, asked: Sequence[int]) -> Key:
    doubts = []
    for number in asked:
        if found.columns[number].nullable:
            doubts.append(f"--key: {found.names[number]} has no value in some rows: they will be rejected")
    unique = found.profile.hashes.unique(*sorted(asked))
    if unique is False and len(asked) == 2:
        doubts.append("--key: the two columns together are not unique: where they repeat, the last row wins")
    elif unique is False:
        doubts.append(
            f"--key: {found.names[asked[0]]} is not unique: {_repeats(found, asked[0])}, and the last one wins"
        )
    return Key(tuple(asked), (), ("as asked for",), tuple(doubts))
