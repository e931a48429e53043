"""What a column is: its type and how its values are written, concluded from what was counted of all of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from include.ingest.infer import moments
from include.ingest.infer.cells import READINGS
from include.ingest.infer.moments import Reading
from include.ingest.infer.tally import (
    EMPTY,
    INTEGER,
    JSON,
    KINDS,
    LEADING_ZERO,
    LEAST_COMMA,
    LEAST_INTEGER,
    LEAST_LENGTH,
    LEAST_POINT,
    LONG,
    MISSES,
    MOMENT,
    MORE_FORMS,
    MOST_COMMA,
    MOST_DIGITS,
    MOST_FRACTION_COMMA,
    MOST_FRACTION_POINT,
    MOST_INTEGER,
    MOST_LENGTH,
    MOST_POINT,
    MOST_WHOLE_COMMA,
    MOST_WHOLE_POINT,
    NO_DAY,
    NUL,
    NULL_WORD,
    NUMBER,
    PLUS,
    SCIENTIFIC,
    SPACED,
    TEXT,
    TORN,
    UUID,
    WORDS,
    Tally,
)

BOOLEANS = (
    ("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("on", "off"), ("ja", "nein"), ("j", "n"), ("oui", "non"),
    ("o", "n"), ("si", "no"), ("sí", "no"), ("s", "n"), ("sim", "não"), ("wahr", "falsch"), ("vrai", "faux"),
    ("tak", "nie"), ("ano", "ne"), ("да", "нет"), ("active", "inactive"), ("enabled", "disabled"),
)  # fmt: skip
_ALONE = ("true", "false", "wahr", "falsch", "vrai", "faux")  # which need not be seen with their opposite
_TYPED = (INTEGER, NUMBER, SCIENTIFIC, MOMENT, UUID, JSON, TEXT)
_MOST_FRACTION, _MOST_EXACT = 6, 30  # digits of what is a numeric; more is a floating-point number
ODD_SHARE = 0.01  # of the rows, which the reject limit of a dataset allows too
FEW = 3  # odd cells that are told even where they are not a small share


@dataclass(frozen=True)
class Odd:
    """A cell that does not fit the type."""

    line: int
    text: str


@dataclass(frozen=True)
class Column:
    """What a column was found to be."""

    name: str  # in the header
    type: str = "text"
    options: Mapping[str, object] = field(default_factory=dict)  # formats, marks, words, trim
    nullable: bool = False
    null_words: tuple[str, ...] = ()  # that stand for nothing where the type is this one
    seen: str = ""  # range, distinct values, words
    doubts: tuple[str, ...] = ()  # what is ambiguous
    notes: tuple[str, ...] = ()
    misfits: int = 0  # cells that would be rejected
    odd: tuple[Odd, ...] = ()  # the first of them
    reading: Reading | None = None


@dataclass(frozen=True)
class Evidence:
    """What the file as a whole says about its columns."""

    orders: Mapping[str, str] = field(default_factory=dict)  # by the marks of dates
    likely_order: str = "dmY"
    said_order: str = ""  # by a person, for all columns in which it may be
    said_mark: str = ""  # the decimal mark, by a person
    decimal_mark: str = ""  # that some column was proved to have
    encoding: str = "utf-8"


@dataclass(frozen=True)
class _Guess:
    """A type that most cells fit."""

    type: str
    fits: int
    kinds: tuple[int, ...]  # of the cells that fit
    options: Mapping[str, object] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading | None = None
    taken: tuple[str, ...] = ()  # words that are values of the type
    range: str = ""


class Judge:
    """Concludes what the columns of a file are."""

    def __init__(self, seen: Tally, names: Sequence[str], rows: int, evidence: Evidence) -> None:
        self._seen, self._names, self._rows, self._evidence = seen, names, rows, evidence

    def columns(self) -> list[Column]:
        """All columns. So many odd cells are allowed, in all together, as a reject limit allows."""
        found = [self._column(number, ODD_SHARE) for number in range(self._seen.columns)]
        room = int(min(1000, ODD_SHARE * self._rows))
        for number in sorted(range(len(found)), key=lambda number: found[number].misfits):
            room -= found[number].misfits
            if room < 0 and found[number].misfits:
                room += found[number].misfits
                found[number] = self._column(number, 0)
        return self._with_null_words(found)

    def evidence(self) -> Evidence:
        """What the columns that can be told alone say about the others."""
        orders: dict[str, set[str]] = {}
        decimals = set()
        for number in range(self._seen.columns):
            reading = moments.read(moments.forms_of(self._seen, number), {}, self._evidence.likely_order)
            if reading and reading.order and not reading.others and reading.fits * 2 > self._filled(number):
                orders.setdefault(reading.marks, set()).add(reading.order)
            guess = self._number(number)
            if guess and not guess.doubts and self._seen.counts[number, NUMBER] and guess.fits == self._filled(number):
                decimals.add(str(guess.options.get("decimal_mark", ".")))
        certain = {marks: next(iter(found)) for marks, found in orders.items() if len(found) == 1}
        mark = self._evidence.said_mark or (next(iter(decimals)) if len(decimals) == 1 else "")
        return replace(self._evidence, orders=certain, decimal_mark=mark)

    def _filled(self, number: int) -> int:
        counts = self._seen.counts[number]
        return int(counts[list(_TYPED)].sum())

    def _column(self, number: int, share: float) -> Column:
        counts = self._seen.counts[number]
        filled = self._filled(number)
        column = Column(self._names[number], nullable=bool(counts[EMPTY]))
        if not filled and not counts[NULL_WORD]:
            return replace(column, nullable=True, seen="no value at all")
        guesses = [guess for guess in self._guesses(number) if guess is not None and guess.fits]
        best = max(guesses, key=lambda guess: guess.fits, default=None)
        if best is None:
            return self._text(column, number, None)
        nulls = self._null_words(number, best.taken)
        misfits = self._candidates(number) - best.fits - sum(count for _, count in nulls)
        small = misfits <= share * self._rows and misfits <= 1000
        if misfits and not (small and share):
            return self._text(column, number, best)
        options = dict(best.options)
        if counts[SPACED]:
            options["trim"] = True
        return replace(
            column, type=best.type, options=options, nullable=bool(counts[EMPTY] or nulls), doubts=best.doubts,
            null_words=tuple(word for word, _ in nulls), seen=self._seen_words(number, best), notes=best.notes,
            misfits=misfits, odd=tuple(self._odd(number, best))[:5] if misfits else (), reading=best.reading,
        )  # fmt: skip

    def _candidates(self, number: int) -> int:
        """Cells with a value, or with a word that may stand for none."""
        return self._filled(number) + int(self._seen.counts[number, NULL_WORD])

    def _null_words(self, number: int, taken: Sequence[str]) -> list[tuple[str, int]]:
        """Words that stand for nothing if the column is no text. They are few, else not all are known."""
        if not self._seen.counts[number, NULL_WORD]:
            return []
        known = _known_nulls()
        words = [(self._decoded(word), count) for word, count, _ in self._seen.words_of(number)]
        return [(word, count) for word, count in words if word in known and word not in taken]

    def _decoded(self, text: bytes) -> str:
        return text.decode(self._evidence.encoding, errors="replace")

    def _guesses(self, number: int) -> Iterator[_Guess | None]:
        counts = self._seen.counts[number]
        yield self._number(number)
        yield self._moment(number)
        yield _Guess("uuid", int(counts[UUID]), (UUID,))
        yield _Guess("jsonb", int(counts[JSON]), (JSON,))
        yield self._boolean(number)

    def _boolean(self, number: int) -> _Guess | None:
        if self._seen.words[number] > WORDS or self._seen.words_of(number) == []:
            return None
        words: dict[str, list[tuple[str, int]]] = {}
        for word, count, _ in self._seen.words_of(number):
            words.setdefault(self._decoded(word).lower(), []).append((self._decoded(word), count))
        best: _Guess | None = None
        for true, false in BOOLEANS:
            there = [word for word in (true, false) if word in words]
            if len(there) == 2 or (there and there[0] in _ALONE):
                taken = tuple(spelled for word in there for spelled, _ in words[word])
                fits = sum(count for word in there for _, count in words[word])
                options: dict[str, object] = {}
                if (true, false) not in BOOLEANS[:5]:
                    options = {"true_words": [true], "false_words": [false]}
                if best is None or fits > best.fits:
                    best = _Guess("boolean", fits, (), options, taken=taken)
        return best

    def _number(self, number: int) -> _Guess | None:
        counts = self._seen.counts[number]
        whole, marked, scientific = (int(counts[kind]) for kind in (INTEGER, NUMBER, SCIENTIFIC))
        if not whole + marked + scientific:
            return None
        if counts[LEADING_ZERO] or (counts[PLUS] and self._seen.extremes[number, MOST_DIGITS] >= 7):
            return None
        if not marked and not scientific:
            return self._whole(number)
        return self._marked(number, whole, marked, scientific)

    def _whole(self, number: int) -> _Guess | None:
        counts, extremes = self._seen.counts[number], self._seen.extremes[number]
        fits = int(counts[INTEGER])
        least, most = int(extremes[LEAST_INTEGER]), int(extremes[MOST_INTEGER])
        if counts[LONG]:
            digits = int(extremes[MOST_DIGITS])
            return _Guess("numeric(38,0)", fits, (INTEGER,), range=f"up to {digits} digits") if digits <= 38 else None
        if not counts[NO_DAY]:
            days = f"{_iso(least)} to {_iso(most)}"
            reading = Reading("date", ["%Y%m%d"], "Ymd", [], fits, _iso(least), _iso(most))
            note = "each number of 8 digits is a day; make it an integer if it is meant as one"
            return _Guess("date", fits, (INTEGER,), {"formats": ["%Y%m%d"]}, (), (note,), reading, range=days)
        notes = ("only 0 and 1: a boolean would hold it as well",) if (least, most) == (0, 1) else ()
        return _Guess(integer_type(least, most), fits, (INTEGER,), {}, (), notes, range=f"{least:,} to {most:,}")

    def _marked(self, number: int, whole: int, marked: int, scientific: int) -> _Guess | None:
        counts, extremes, doubles = self._seen.counts[number], self._seen.extremes[number], self._seen.doubles[number]
        misses = counts[MISSES : MISSES + len(READINGS)].tolist() if marked else [0] * len(READINGS)
        reading, doubts, notes = self._mark(number, misses)
        decimal, thousands = READINGS[reading]
        if scientific and decimal == ",":
            return None
        fits = whole + scientific + marked - misses[reading]
        comma = decimal == ","
        before = max(int(extremes[MOST_WHOLE_COMMA if comma else MOST_WHOLE_POINT]), int(extremes[MOST_DIGITS]))
        after = int(extremes[MOST_FRACTION_COMMA if comma else MOST_FRACTION_POINT]) if marked else 0
        least, most = doubles[LEAST_COMMA if comma else LEAST_POINT], doubles[MOST_COMMA if comma else MOST_POINT]
        if whole and not counts[LONG]:
            least, most = min(least, int(extremes[LEAST_INTEGER])), max(most, int(extremes[MOST_INTEGER]))
        options: dict[str, object] = {"decimal_mark": ","} if comma else {}
        if thousands:
            options["thousands_mark"] = thousands
        kind = "double precision"
        if not scientific and after == 0 and thousands and before <= 18:
            kind = integer_type(int(least), int(most))
            options.pop("decimal_mark", None)
            if thousands == ".":  # the decimal mark of an integer is a point unless it says otherwise, which it can't
                kind, options = "numeric(18,0)", {"decimal_mark": ",", "thousands_mark": "."}
        elif not scientific and after <= _MOST_FRACTION and before + after <= _MOST_EXACT:
            kind = f"numeric({_precision(before, after)},{after})"
        kinds = (INTEGER, NUMBER, SCIENTIFIC)
        shown = f"{least:,.{min(after, 6)}f} to {most:,.{min(after, 6)}f}" if marked else "with exponents"
        return _Guess(kind, fits, kinds, options, doubts, notes, range=shown)

    def _mark(self, number: int, misses: Sequence[int]) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        """Which reading of the numbers it is, and what is ambiguous about it."""
        counts = self._seen.counts[number]
        least = min(misses)
        best = misses.index(least)
        torn, marked = int(counts[TORN]), int(counts[NUMBER])
        if torn < marked or least:  # another cell than 1.234 or 1,234 tells
            return best, (), ()
        point = misses[0] == 0  # the only mark is a point
        as_decimal, as_thousands = (0, 3) if point else (1, 2)
        mark = "." if point else ","
        example = next((self._decoded(text) for _, text in self._seen.places_of(number, NUMBER)), "")
        known = self._evidence.decimal_mark
        if known:
            other = "fractions" if known == mark else "thousands"
            chosen = as_decimal if known == mark else as_thousands
            whose = "as asked for" if self._evidence.said_mark else "of other columns"
            return chosen, (), (f"{example!r} is read with the decimal mark {known!r} {whose}: {other}",)
        chosen = as_decimal if point else as_thousands
        meant = "thousandths" if point else "thousands"
        doubt = (
            f"{mark!r} in {example!r} may part thousands or be the decimal mark, and no value decides: read as {meant}"
        )
        return chosen, (doubt,), ()

    def _moment(self, number: int) -> _Guess | None:
        forms = moments.forms_of(self._seen, number)
        evidence = self._evidence
        said = {form.marks: evidence.said_order for form in forms} if evidence.said_order else {}
        reading = moments.read(forms, {**evidence.orders, **said}, evidence.likely_order)
        if reading is None or self._seen.counts[number, MORE_FORMS]:
            return None
        options: dict[str, object] = {"formats": reading.formats} if reading.formats else {}
        doubts, notes = [], []
        if reading.others:
            others = " or ".join(moments.WORDS[order] for order in reading.others)
            doubts.append(
                f"{forms[0].example!r} may be {moments.WORDS[reading.order]} or {others}, and no value decides: read"
                f" {moments.WORDS[reading.order]}"
            )
        if reading.bare:
            doubts.append(
                f"{reading.bare:,} values have no offset from UTC: read as UTC; set timezone if it is another"
            )
        if reading.kind == "timestamp":
            notes.append("no offset from UTC: a local time; timestamptz with timezone makes an instant of it")
        shown = f"{reading.least} to {reading.most}" if reading.least else ""
        return _Guess(reading.kind, reading.fits, (MOMENT,), options, tuple(doubts), tuple(notes), reading, range=shown)

    def _odd(self, number: int, guess: _Guess) -> Iterator[Odd]:
        """The first cells that do not fit, in the order of their lines."""
        kinds = [kind for kind in _TYPED if kind not in guess.kinds]
        known = _known_nulls()
        found = []
        for kind in kinds:
            for line, text in self._seen.places_of(number, kind):
                word = self._decoded(text)
                if word not in guess.taken and not (kind == TEXT and word in known):
                    found.append(Odd(line, word))
        for form in moments.forms_of(self._seen, number) if guess.reading and guess.reading.order else []:
            place = moments.ORDERS.index(guess.reading.order) if guess.reading else 0
            if form.no_day_lines[place]:
                found.append(Odd(form.no_day_lines[place], "no day of the calendar"))
        yield from sorted(found, key=lambda odd: odd.line)

    def _text(self, column: Column, number: int, guess: _Guess | None) -> Column:
        counts, extremes = self._seen.counts[number], self._seen.extremes[number]
        notes = []
        if counts[LEADING_ZERO] and self._filled(number) == counts[INTEGER]:
            line, text = next(iter(self._zeros(number)), (0, ""))
            notes.append("digits with leading zeros, kept as text" + (f": {text!r} on line {line:,}" if text else ""))
        elif guess is not None and self._candidates(number):
            nulls = self._null_words(number, guess.taken)
            odd = list(self._odd(number, guess))
            few = self._candidates(number) - guess.fits - sum(count for _, count in nulls)
            if odd and (few <= FEW or few <= 0.05 * self._candidates(number)) and guess.fits > few:
                told = ", ".join(f"{one.text!r} on line {one.line:,}" for one in odd[:3])
                more = f" and {few - 3:,} more" if few > 3 else ""
                notes.append(f"text only because of {told}{more}; all else is {guess.type}{_said(guess.options)}")
        if counts[SPACED]:
            notes.append(f"white space around {int(counts[SPACED]):,} values: trim: true removes it")
        longest = f"up to {int(extremes[MOST_LENGTH]):,} bytes" if extremes[MOST_LENGTH] > 0 else ""
        if extremes[MOST_LENGTH] == extremes[LEAST_LENGTH]:
            longest = f"always {int(extremes[MOST_LENGTH]):,} bytes"
        words = self._seen_words(number, None)
        misfits = int(counts[NUL])
        if misfits:
            notes.append(f"{misfits:,} values hold a NUL character, which PostgreSQL can't store: they are rejected")
        seen = ", ".join(part for part in (words, longest) if part)
        return replace(column, notes=tuple(notes), seen=seen, misfits=misfits)

    def _zeros(self, number: int) -> Iterator[tuple[int, str]]:
        for line, text in self._seen.places_of(number, INTEGER):
            word = self._decoded(text)
            if len(word) > 1 and word.startswith("0"):
                yield line, word

    def _seen_words(self, number: int, guess: _Guess | None) -> str:
        count, exact = self._seen.distinct_of(number)
        parts = [guess.range] if guess and guess.range else []
        parts.append(f"{'' if exact else 'about '}{count:,} distinct")
        words = self._seen.words_of(number)
        if 0 < len(words) <= 8 and self._seen.words[number] <= WORDS and (guess is None or guess.type == "boolean"):
            shown = ", ".join(f"{_short(self._decoded(word))} ({times:,})" for word, times, _ in words)
            parts.append(shown)
        if self._seen.counts[number, EMPTY]:
            parts.append(f"{int(self._seen.counts[number, EMPTY]):,} empty")
        return ", ".join(parts)

    def _with_null_words(self, found: list[Column]) -> list[Column]:
        """Null words are the whole file's: a column of text that holds one of them is nullable too."""
        nulls = {word for column in found for word in column.null_words}
        result = []
        for number, column in enumerate(found):
            held = self._holds(number, nulls)
            if held and not column.nullable:
                note = f"{', '.join(map(repr, held))} is null in this column too, as `csv.nulls` is the whole file's"
                column = replace(column, nullable=True, notes=(*column.notes, note))
            result.append(column)
        return result

    def _holds(self, number: int, nulls: set[str]) -> list[str]:
        """Which of the words stand in a column; all of them where not all of its words are known."""
        if not nulls or not self._seen.counts[number, NULL_WORD]:
            return []
        words = [self._decoded(word) for word, *_ in self._seen.words_of(number)]
        found = [word for word in words if word in nulls]
        return found or (sorted(nulls) if self._seen.words[number] > WORDS else [])


def _known_nulls() -> frozenset[str]:
    from include.ingest.infer.profile import NULL_WORDS  # not at the top: it imports the compiled loops

    return frozenset(NULL_WORDS)


def integer_type(least: int, most: int) -> str:
    """A type with room for ten times as much, as tomorrow's file may hold more; never smallint, which saves nothing."""
    return "integer" if 10 * max(abs(least), abs(most)) < 1 << 31 else "bigint"


def _precision(before: int, after: int) -> int:
    """Digits of a numeric, with room for two more before the point."""
    return next((size for size in (12, 18, 24, 38) if size >= before + after + 2), 38)


def _iso(day: int) -> str:
    return f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"


def _said(options: Mapping[str, object]) -> str:
    return " with " + ", ".join(f"{name}: {value}" for name, value in options.items()) if options else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 24 else text[:23] + "…")[1:-1]


assert len(_TYPED) + 2 == KINDS
