"""A model of a table: what runs and the writes of others make of its rows, in plain Python.

It shares no code with the ingest. Values are texts as PostgreSQL prints them, or None; versions are whole numbers.
Where the promises leave the outcome open (`docs/fuzz.md`), the model goes with what the table shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Key = tuple[str, ...]
Values = tuple[str | None, ...]
Took = Callable[[Key, Values], bool]
NEVER = -1  # older than every version


@dataclass(frozen=True)
class Record:
    """A record of a file. `key` is None where it can't be read; a bad record is rejected."""

    key: Key | None
    values: Values
    bad: bool = False


@dataclass(frozen=True)
class Run:
    """What is asked for. `records` is None for a file without its header."""

    name: str  # a run that is cleared has it again
    version: int
    records: tuple[Record, ...] | None
    content: bytes = b""
    path: str = ""
    duplicates: Literal["last", "first", "reject"] = "last"
    most_rejected: int = 3  # more fail the run
    force: bool = False
    dataset: str = ""  # what shapes the rows: the same content by another dataset is not the same


@dataclass(frozen=True)
class Account:
    """What a run did. `stale` is a part of `superseded`."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    stale: int = 0
    rejected: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Row:
    """A row: its values, the version it carries, and the least and greatest version that may have confirmed it."""

    values: Values
    source: int = NEVER
    low: int = NEVER
    high: int = NEVER
    owner: int | None = None  # mode append: the load that inserted it, None once somebody else wrote it


class Failed(Exception):
    """The run must fail and change nothing."""


@dataclass
class Table:
    """The rows by key; in mode append by a number."""

    mode: Literal["upsert", "replace", "append"]
    column: int | None = None  # upsert by this one of the values; None: by the run's version
    delete_ratio: float | None = 0.5  # replace: more of the rows deleted fail the run
    rows: dict[Any, Row] = field(default_factory=dict)
    ghosts: dict[Key, int] = field(default_factory=dict)  # greatest version of rows that others deleted
    newest: tuple[int, int] = (NEVER, NEVER)  # greatest version that completed, at least and at most
    retyped: int = NEVER  # greatest version that completed when a key column got another type
    seen: frozenset[tuple[object, ...]] = frozenset()  # content that completed, by dataset
    appended: tuple[tuple[str, int, tuple[object, ...]], ...] = ()  # by load: its run, rows, path and content
    unsure: bool = False  # mode append: the rows may not be provable any more

    def load(self, run: Run, took: Took = lambda *_: False, *, stale: bool = False) -> Account:
        """Apply a run that loads its file. `took` and `stale` say what the table shows where the outcome is open."""
        read, winners, spared, lost, rejected = _winners(run, keyed=self.mode != "append")
        if rejected > run.most_rejected:
            raise Failed(f"{rejected} of {read} rejected")
        counts = {"inserted": 0, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}
        rows = dict(self.rows)
        if self.mode == "append":
            counts["inserted"] = len(winners)
            first = self.next_number()
            rows |= {first + n: Row(values, owner=len(self.appended)) for n, (_, values) in enumerate(winners)}
        elif self.mode == "replace" and (run.version < self.newest[0] or (run.version < self.newest[1] and stale)):
            counts["stale"] = len(winners)
        else:
            for key, values in winners:
                kind, rows[key] = self._upsert(rows.get(key), key, values, run.version, took)
                counts[kind] += 1
            if self.mode == "replace":
                gone = set(rows) - {key for key, _ in winners} - spared
                if self.delete_ratio is not None and len(gone) > self.delete_ratio * len(self.rows):
                    raise Failed(f"{len(gone)} of {len(self.rows)} rows would be deleted")
                rows = {key: row for key, row in rows.items() if key not in gone}
                counts["deleted"] = len(gone)
        self.rows = rows
        self.newest = (max(self.newest[0], run.version), max(self.newest[1], run.version))
        self.seen |= {(run.dataset, run.content)}
        if counts["inserted"] and self.mode == "append":
            self.unsure |= run.name in {name for name, *_ in self.appended}  # forced: rows of both times are there
            self.appended += ((run.name, counts["inserted"], (run.dataset, run.path, run.content)),)
        return Account(read=read, superseded=lost + counts["stale"], rejected=rejected, **counts)

    def _upsert(self, row: Row | None, key: Key, values: Values, version: int, took: Took) -> tuple[str, Row]:
        if row is None:  # what newer files said of a row that others deleted may still be known
            return "inserted", Row(values, version, version, max(version, self.ghosts.get(key, NEVER)))
        if row.values == values:
            return "unchanged", replace(row, low=max(row.low, version), high=max(row.high, version))
        if self.mode == "upsert" and self._is_older(row, key, values, version, took):
            return "stale", replace(row, low=row.high if row.low <= version else row.low)
        return "updated", Row(values, version, version, version)

    def _is_older(self, row: Row, key: Key, values: Values, version: int, took: Took) -> bool:
        if self.column is not None:
            mine, its = values[self.column], row.values[self.column]
            return mine is not None and its is not None and int(its) > int(mine)
        return row.low > version or (row.high > version and not took(key, values))

    def skip(self, run: Run) -> None:
        """Apply a run that says that its content is in the table. Raises Failed where that is not so."""
        if self.mode == "append":
            if self.must_load(run) and self.copy().load(run).inserted:
                raise Failed("skipped, but its rows are not in the table")
            return
        if (run.dataset, run.content) not in self.seen:
            raise Failed("skipped, but this content never came before")
        account = self.load(run, stale=True)
        if account.inserted or account.updated or account.deleted:
            raise Failed("skipped, but a load would change the table")

    def must_load(self, run: Run) -> bool:
        """Mode append: neither an earlier run of this path and content has its rows there, nor this run, cleared."""
        return run.force or not (run.name in {name for name, *_ in self.appended} or self._holds(run, cleared=False))

    def must_skip(self, run: Run) -> bool:
        """Mode append: it is certain that the run has nothing to do."""
        return not (run.force or self.unsure) and self._holds(run, cleared=True)

    def _holds(self, run: Run, *, cleared: bool) -> bool:
        here, mine = Counter(row.owner for row in self.rows.values()), (run.dataset, run.path, run.content)
        found = [load for number, load in enumerate(self.appended) if here[number] >= load[1]]
        return any(content == mine or (cleared and name == run.name) for name, _, content in found)

    def put(self, key: Any, values: Values, source: int = NEVER) -> None:
        """Somebody inserts or updates a row. An updated row keeps its versions."""
        new = Row(values, source, source, max(source, self.ghosts.get(key, NEVER)))
        self.rows[key] = replace(self.rows.get(key, new), values=values, owner=None)

    def next_number(self) -> int:
        """Mode append: what names the next row."""
        return max(self.rows, default=0) + 1

    def remove(self, keys: Iterable[Any]) -> None:
        """Somebody deletes rows."""
        for key in self.rows.keys() & set(keys):
            self.ghosts[key] = max(self.rows.pop(key).high, self.ghosts.get(key, NEVER))

    def drop(self) -> None:
        """Somebody drops the table; one made anew has no past."""
        self.__init__(self.mode, self.column, self.delete_ratio)  # type: ignore[misc]

    def copy(self) -> Table:
        """Another table in the same state."""
        return replace(self, rows=dict(self.rows), ghosts=dict(self.ghosts))

    def replace_table(self, rows: dict[Any, Row]) -> None:
        """Somebody puts another table in place: its rows carry their versions, what else was known may be lost."""
        self.rows = {key: replace(row, low=row.source, owner=None) for key, row in rows.items()}
        self.ghosts, self.newest, self.unsure = {}, (NEVER, self.newest[1]), True


def _winners(run: Run, *, keyed: bool) -> tuple[int, list[tuple[Key, Values]], set[Key], int, int]:
    """Records read, winners, keys of rejected records, records that lost, records rejected. Raises Failed."""
    if run.records is None:
        raise Failed("a file without its header")
    good = [(record.key, record.values) for record in run.records if not record.bad and record.key is not None]
    spared = {record.key for record in run.records if record.bad and record.key is not None}
    if not keyed:
        return len(run.records), good, spared, 0, len(run.records) - len(good)
    times = Counter(key for key, _ in good)
    found = dict(reversed(good) if run.duplicates == "first" else good)
    repeated = {key for key, number in times.items() if number > 1} if run.duplicates == "reject" else set()
    rejected = len(run.records) - len(good) + sum(times[key] for key in repeated)
    winners = [(key, values) for key, values in found.items() if key not in repeated]
    return len(run.records), winners, spared | repeated, len(run.records) - rejected - len(winners), rejected
