"""Which columns may identify a row: hashes of their cells, kept for the whole file, must all differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from include.ingest.infer.tally import EMPTY, MOMENT, MOST_LENGTH, NULL_WORD, NUMBER, SCIENTIFIC, Tally

MOST_SINGLES, MOST_PAIRS, MOST_IN_PAIRS = 12, 8, 6
LIMIT = 48 << 20  # hashes of 8 bytes that are kept; where there are more, only those of every second cell, and so on
_KEYS = re.compile(
    r"(?i)(^|[_\W])(id|ids|key|schl(ue|ü)ssel|nr|no|num|number|nummer|code|uuid|guid|sku|isbn|iban|ean|pk|rowid|index)\W*$"
    r"|[a-z](Id|ID|Nr|No|Key|Code|Nummer)$|(nummer|schluessel|schlüssel|kennung|_?id)$"
)
_ACCIDENTS = re.compile(
    r"(?i)amount|price|preis|betrag|sum(me)?$|total|value|wert|cost|kosten|lat|lon|lng|score|weight|height|temp|note|"
    r"comment|description|beschreibung|kommentar|rate|percent|balance|saldo|url|text|name$"
)


@dataclass(frozen=True)
class Choice:
    """Columns, or pairs of them, that were unique in the first block."""

    columns: list[int] = field(default_factory=list)  # of which hashes are kept
    singles: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def likeness(name: str, number: int, seen: Tally) -> int:
    """How much a column looks like a key by its name, place and cells: below 0, it is unique by accident."""
    counts = seen.counts[number]
    cells = max(1, int(counts[: NULL_WORD + 1].sum() - counts[EMPTY]))
    score = 6 * bool(_KEYS.search(name)) + 2 * (number == 0)
    score -= 3 * bool(_ACCIDENTS.search(name)) + 6 * (2 * (counts[NUMBER] + counts[SCIENTIFIC]) > cells)
    score -= 4 * (int(seen.extremes[number, MOST_LENGTH]) > 64) + (2 * counts[MOMENT] > cells)
    return int(score)


def first_choice(hashes: np.ndarray, seen: Tally, names: Sequence[str], also: Sequence[int] = ()) -> Choice:
    """What may be a key, by the first block: `hashes` is columns x records."""
    rows = hashes.shape[1]
    filled = [n for n in range(len(names)) if not seen.counts[n, EMPTY] and not seen.counts[n, NULL_WORD]]
    best = sorted(filled, key=lambda n: -likeness(names[n], n, seen))
    singles = [n for n in best if rows and _unique(hashes[n])][:MOST_SINGLES]
    several = [n for n in best if seen.distinct_counts[n] > 1 and _in_pair(names[n], n, seen) >= 0][:MOST_IN_PAIRS]
    pairs = [pair for pair in combinations(several, 2) if rows and _unique(paired(hashes[pair[0]], hashes[pair[1]]))]
    pairs.sort(key=lambda pair: -sum(_in_pair(names[n], n, seen) for n in pair))
    pairs = pairs[:MOST_PAIRS]
    if len(also) == 2:
        pairs.append((min(also), max(also)))
    wanted = {*singles, *also, *(number for pair in pairs for number in pair)}
    return Choice(sorted(wanted), singles, [(min(pair), max(pair)) for pair in pairs])


def _in_pair(name: str, number: int, seen: Tally) -> int:
    """A date makes a good part of a key, though seldom one alone."""
    moments = seen.counts[number, MOMENT]
    return likeness(name, number, seen) + (4 if moments else 0)


def paired(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A hash of two hashes."""
    mixed: np.ndarray = (one ^ (other * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _unique(hashes: np.ndarray) -> bool:
    ordered = np.sort(hashes)
    return not bool((ordered[1:] == ordered[:-1]).any())


class Hashes:
    """The hashes of chosen columns. Where they grow beyond the limit, whole rows are dropped, the same in each column.

    Rows are dropped by a column's own hash, so that equal cells stay or go together.
    """

    def __init__(self, choice: Choice | None = None, limit: int = LIMIT) -> None:
        self.choice = choice or Choice()
        self.columns = self.choice.columns
        self.share = 1  # one in so many is kept
        self._limit, self._kept = limit, 0
        self._sets: dict[tuple[int, ...], list[np.ndarray]] = {
            one: [] for one in (*((n,) for n in self.columns), *self.choice.pairs)
        }

    def add(self, hashes: np.ndarray) -> None:
        """The hashes of a block, in the order of `columns`."""
        if not len(self.columns):
            return
        places = {number: place for place, number in enumerate(self.columns)}
        for one, kept in self._sets.items():
            new = hashes[places[one[0]]]
            if len(one) > 1:
                new = paired(new, hashes[places[one[1]]])
            new = self._some(new) if self.share > 1 else new.copy()
            kept.append(new)
            self._kept += len(new)
        while self._kept > self._limit:
            self._thin()

    def unique(self, *columns: int) -> bool | None:
        """Whether no value stands twice; None: that was not looked at."""
        kept = self._sets.get(columns)
        return None if kept is None else _unique(np.concatenate(kept or [np.empty(0, np.uint64)]))

    def twice(self, column: int) -> int | None:
        """How many cells of a column repeat another one; None: that was not looked at."""
        kept = self._sets.get((column,))
        if kept is None:
            return None
        ordered = np.sort(np.concatenate(kept or [np.empty(0, np.uint64)]))
        return int((ordered[1:] == ordered[:-1]).sum()) * self.share

    def _some(self, hashes: np.ndarray) -> np.ndarray:
        kept: np.ndarray = hashes[(hashes >> np.uint64(8)) % np.uint64(self.share) == 0]
        return kept

    def _thin(self) -> None:
        self.share *= 2
        for kept in self._sets.values():
            kept[:] = [self._some(one) for one in kept]
        self._kept = sum(len(one) for kept in self._sets.values() for one in kept)
