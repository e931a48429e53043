"""PostgreSQL judges values: a cell is accepted if and only if its cast accepts it, and then the value is the same.

What Millrace refuses beyond that is named in `docs/fuzz.md`, and by `strictness`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg import conninfo, sql

from fuzz.judging import Checked, Difference
from fuzz.values import postgres, ways
from fuzz.values.cells import KINDS, Kind, make_cells
from fuzz.values.rules import check_rule
from fuzz.values.strictness import reason
from stack.databases import migrate_warehouse

COLUMNS, CELLS = 4, 400  # of a batch
UNIFORM, UNIFORM_CELLS = 5, 60  # columns made of the cells of one, by their form, and their length
RUNS = 8  # one batch in so many goes through whole runs too
DATABASE = "fuzz_values"
Way = Callable[[psycopg.Connection[Any], Kind, Sequence[bytes], Path], sql.Identifier]


def open_judge(dsn: str, scratch: Path) -> Values:
    """A judge with a database of its own on that server."""
    return Values(dsn, scratch)


class Values:
    """Batches of cells, a few types at a time."""

    def __init__(self, dsn: str, scratch: Path) -> None:
        with psycopg.connect(dsn, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
            server.execute(f"CREATE DATABASE {DATABASE}")
        own = conninfo.make_conninfo(dsn, dbname=DATABASE)
        migrate_warehouse(own)
        self._connection = psycopg.connect(own, autocommit=True)
        self._scratch = scratch
        postgres.prepare(self._connection, KINDS)

    def check(self, seed: int) -> Checked:
        """Make the batch of this seed and judge it."""
        chance, checked = Random(seed), Checked()
        for kind in chance.sample(KINDS, COLUMNS):
            self.check_column(kind, make_cells(kind, CELLS, chance), seed, checked)
        return checked

    def check_column(self, kind: Kind, cells: list[bytes], seed: int, checked: Checked) -> None:
        """Judge the cells of one column, in each of the ways that this seed takes, and note what came of it.

        Then again as columns in which all cells have one form, and one at most is wrong: those are cast as a whole.
        """
        runs = [ways.whole] if seed % RUNS == 0 else []
        self._check(kind, cells, seed, checked, [ways.general, ways.short, *runs])
        verdicts = self._verdicts(kind, cells, ways.nothing)
        forms: dict[bytes, list[bytes]] = defaultdict(list)
        wrong = []
        for cell, verdict in zip(cells, verdicts, strict=True):
            if expected(kind, cell, verdict):
                forms[shape(cell, kind)].append(cell)
            else:
                wrong.append(cell)
        chance = Random(seed)
        taken = [cell for like in forms.values() for cell in like][:200]
        rules = check_rule(self._connection, kind, taken, chance)
        checked.differences += [Difference(seed, told) for told in rules[:1]]
        alike = [cell for cell in wrong if shape(cell, kind) in forms]
        picked = chance.sample(alike, min(len(alike), UNIFORM))
        for cell in [*picked, *(like[0] for like in [*forms.values()][:1])]:
            column = forms[shape(cell, kind)][:UNIFORM_CELLS]
            column.insert(chance.randint(0, len(column)), cell)
            self._check(kind, column, seed, checked, [ways.general, ways.short])

    def _check(self, kind: Kind, cells: list[bytes], seed: int, checked: Checked, taken: Sequence[Way]) -> None:
        checked.cases += len(cells)
        for way in taken:
            found = self._differing(kind, cells, way, checked)
            if found:
                small = self._shrink(kind, cells, found[0], way)
                checked.differences.append(Difference(seed, self._told(kind, small, way)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _verdicts(self, kind: Kind, cells: list[bytes], way: Way) -> list[postgres.Verdict]:
        return postgres.judge(self._connection, kind, cells, way(self._connection, kind, cells, self._scratch))

    def _differing(self, kind: Kind, cells: list[bytes], way: Way, checked: Checked | None = None) -> list[int]:
        """The numbers of the cells on which the two disagree; all of them where Millrace fails."""
        try:
            verdicts = self._verdicts(kind, cells, way)
        except Exception:
            return list(range(len(cells)))
        found = []
        for number, (cell, verdict) in enumerate(zip(cells, verdicts, strict=True)):
            wanted = expected(kind, cell, verdict)
            if checked and way is ways.general and verdict.valid and not wanted:
                checked.explained[str(reason(cell.decode(), kind))] += 1
            if way is ways.short and not verdict.taken:
                continue  # it leaves to the general way what it does not know
            if verdict.taken != wanted or (verdict.taken and not verdict.same):
                found.append(number)
        return found

    def _shrink(self, kind: Kind, cells: list[bytes], number: int, way: Way) -> list[bytes]:
        """Few cells, and of these little, that still show a difference."""
        small = [cells[number]] if self._differing(kind, [cells[number]], way) else cells
        size = len(small) // 2
        while size:
            for start in range(0, len(small), size):
                fewer = small[:start] + small[start + size :]
                if fewer and self._differing(kind, fewer, way):
                    small = fewer
                    break
            else:
                size //= 2
        if len(small) > 1:
            return small
        cell, size = small[0], len(small[0]) // 2
        while size:
            for start in range(0, len(cell), size):
                shorter = cell[:start] + cell[start + size :]
                if self._differing(kind, [shorter], way):
                    cell = shorter
                    break
            else:
                size //= 2
        return [cell]

    def _told(self, kind: Kind, cells: list[bytes], way: Way) -> str:
        zone = f" in {kind.timezone}" if kind.timezone != "UTC" else ""
        where = f"{kind.name}{zone}, the {way.__name__} way"
        try:
            verdicts = self._verdicts(kind, cells, way)
        except Exception as error:
            return f"{where}: {cells!r}: Millrace fails by {type(error).__name__}: {error}"
        number = (self._differing(kind, cells, way) or [0])[0]
        verdict = verdicts[number]
        beside = f", beside {[cell for at, cell in enumerate(cells) if at != number]!r}" if len(cells) > 1 else ""
        strict = reason(cells[number].decode(), kind) if verdict.valid else None
        said = f"PostgreSQL {'takes it as' if verdict.valid else 'refuses it:'} {verdict.theirs!r}"
        said += f" (documented: {strict})" if strict else ""
        ours = f"loads {verdict.ours!r}" if verdict.taken else "refuses it"
        return f"{where}: {cells[number]!r}{beside}: {said}; Millrace {ours}"


def expected(kind: Kind, cell: bytes, verdict: postgres.Verdict) -> bool:
    """Whether Millrace should take the cell."""
    return verdict.valid and reason(cell.decode(), kind) is None


def shape(cell: bytes, kind: Kind) -> bytes:
    """The form of a cell: all numbers alike."""
    return re.sub(rb"[0-9a-fA-F]+" if kind.base in ("uuid", "bytea") else rb"[0-9]+", b"9", cell)
