"""What the compiled loops count, against Python's own csv module, for any text, dialect and size of block."""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from pathlib import Path

import numpy as np
import pytest

from include.ingest.csv.grammar import Dialect
from include.ingest.dataset.sql_types import SqlType, ValueFault, read_value
from include.ingest.errors import IngestError
from include.ingest.infer import cells, keys, profile
from include.ingest.infer.tally import INTEGER, KINDS, PLACES, SPACED, TEXT, WORD_BYTES
from include.ingest.source.storage import LOCAL

LETTERS = "ab0 7.,;\"'\\\n\r\t-{é"
STYLES = [(",", '"', None), (";", '"', "\\"), ("\t", None, None), (",", "'", None)]


def profiled(folder: Path, data: bytes, style: tuple[str, str | None, str | None], columns: int) -> profile.Profile:
    """What is counted of a file without a header."""
    file = folder / "file.csv"
    file.write_bytes(data)
    dialect = Dialect(*(mark.encode() if mark else None for mark in style))  # type: ignore[arg-type]
    cut = profile.Cut(dialect, columns, 0, len(data), 1)
    return profile.profile(LOCAL.stored(file), cut, ["x"] * columns, 2)


def reference(data: bytes, style: tuple[str, str | None, str | None]) -> list[tuple[int, list[str]]]:
    """Line and cells of each record, by Python's csv module."""
    delimiter, quote, escape = style
    more: dict[str, object] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    if escape:
        more |= {"escapechar": escape, "doublequote": False}
    reader = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, **more)  # type: ignore[arg-type]
    found, line = [], 1
    for row in reader:
        if row:
            found.append((line, row))
        line = reader.line_num + 1
    return found


def test_any_text_is_cut_and_counted_as_the_csv_module_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_, judged = random.Random(3), 0
    for number in range(400):
        monkeypatch.setattr(profile, "BLOCK_BYTES", random_.choice([1, 7, 40, 1 << 20]))
        style = STYLES[number % len(STYLES)]
        text = "".join(random_.choice(LETTERS) for _ in range(random_.randint(1, 120)))
        text += (style[1] or "") * (text.count(style[1] or "\0") % 2) + "\n"
        data, width = text.encode(), random_.randint(1, 3)
        try:
            seen = profiled(tmp_path, data, style, width)
        except IngestError:
            continue
        judged += 1
        rows = reference(data, style)
        good = [(line, row) for line, row in rows if len(row) == width]
        assert seen.rows == len(good), (text, style)
        assert int(seen.tally.widths[1]) == sum(len(row) < width for _, row in rows)
        assert int(seen.tally.widths[2]) == sum(len(row) > width for _, row in rows)
        for column in range(width):
            places = sorted(place for kind in range(KINDS) for place in seen.tally.places_of(column, kind))
            trimmed = sorted((line, row[column].strip(" \t").encode()[:WORD_BYTES]) for line, row in good)
            if len(good) <= PLACES:
                assert places == trimmed, (text, style)
            edged = sum(row[column].strip(" \t") != row[column] for _, row in good)
            assert int(seen.tally.counts[column, SPACED]) == edged
    assert judged > 200


def as_bytes(text: str) -> tuple[np.ndarray, int]:
    """A cell, with bytes behind it that may be read."""
    data = text.encode()
    return np.frombuffer(data + b"\n" * 16, np.uint8).copy(), len(data)


def fits(text: str, kind: str) -> bool:
    """Whether the ingest reads it as that type."""
    try:
        read_value(text, SqlType.parse(kind))
    except ValueFault:
        return False
    return True


def test_json_is_what_the_ingest_takes() -> None:
    random_ = random.Random(5)
    right = 0
    for _ in range(3000):
        value = json.dumps(made(random_, 0))
        text = value if random_.random() < 0.5 else mutated(random_, value)
        if text[:1] in "{[" and text:
            found = bool(cells.is_json(*as_bytes(text)[:1], 0, as_bytes(text)[1]))
            if found:
                assert fits(text, "jsonb"), text
                right += 1
            elif text == value:
                assert "\\u" in text or "e" in text or depth(text) > 60, text
    assert right > 1000


def made(random_: random.Random, level: int) -> object:
    """Any JSON."""
    kind = random_.randint(0, 8 if level else 1)
    inner = range(random_.randint(0, 3))
    if kind == 0:
        return [made(random_, level + 1) for _ in inner] if level < 5 else []
    if kind == 1:
        return {f"k{n}\n": made(random_, level + 1) for n in inner} if level < 5 else {}
    return random_.choice([None, True, False, 0, -12, 3.25, "x", 'q"\\', "", 1e9])


def mutated(random_: random.Random, text: str) -> str:
    """The text with one letter changed."""
    at = random_.randrange(len(text))
    return text[:at] + random_.choice('{}[],:"0tn -.') + text[at + random_.randint(0, 1) :]


def depth(text: str) -> int:
    """Brackets that open."""
    return text.count("[") + text.count("{")


def test_uuids() -> None:
    text = str(uuid.UUID(int=7))
    assert cells.is_uuid(*as_bytes(text)[:1], 0, 36)
    assert not cells.is_uuid(*as_bytes(text.replace("-", "0"))[:1], 0, 36)
    assert not cells.is_uuid(*as_bytes("g" + text[1:])[:1], 0, 36)


def test_distinct_values_are_exact_up_to_a_limit_and_near_it_beyond(tmp_path: Path) -> None:
    rows = [f"{n % 1500},{n}" for n in range(100_000)]
    seen = profiled(tmp_path, ("\n".join(rows) + "\n").encode(), (",", '"', None), 2)
    assert seen.tally.distinct_of(0) == (1500, True)
    about, exact = seen.tally.distinct_of(1)
    assert not exact
    assert abs(about - 100_000) < 8_000


def test_threads_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "BLOCK_BYTES", 1000)
    rows = [f"{n},w{n % 70},2026-01-{n % 28 + 1:02}" for n in range(5000)]
    seen = profiled(tmp_path, ("\n".join(rows) + "\n").encode(), (",", '"', None), 3)
    assert seen.tally.counts[0, INTEGER] == seen.tally.counts[1, TEXT] == 5000
    assert seen.tally.extremes[0, :2].tolist() == [0, 4999]
    assert seen.tally.words[1] > 64, "more than are kept"
    assert [line for line, _ in seen.tally.places_of(0, INTEGER)] == list(range(1, 9))
    assert seen.tally.forms[2, 0, 0] == 5000


def test_hashes_stay_within_their_limit_and_still_see_what_repeats() -> None:
    values = np.random.default_rng(1).integers(1, 1 << 62, 50_000).astype(np.uint64)
    kept = keys.Hashes(keys.Choice([0], [0]), limit=1000)
    for part in np.split(values, 10):
        kept.add(part[None, :])
    assert kept.share > 16
    assert kept.unique(0)
    kept.add(values[None, :20_000])
    assert not kept.unique(0)
    assert kept.unique(1) is None
