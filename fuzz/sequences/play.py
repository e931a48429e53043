"""Plays a script on a real table and on the model, and says where they differ."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
from psycopg import Connection

from fuzz.sequences.ground import Ground, Seen
from fuzz.sequences.model import Account, Failed, Key, Record, Run, Table, Values
from fuzz.sequences.others import Others
from fuzz.sequences.place import Place
from fuzz.sequences.runs import Outcome, Steps, in_threads
from fuzz.sequences.script import Deliver, File, Line, Pair, Script, Write
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import AccountMismatch, IngestError

LIMIT = 3  # rejected rows
DATASET = """
name: {name}
source: "{{{{ inbox }}}}/{{{{ ds }}}}.csv"
target: public.{name}
mode: {mode}
key: [{key}]
duplicates: {duplicates}
version: {version}
missing_columns: null
chunk_bytes: {chunk_bytes}
reject_limit: {{rows: {limit}, ratio: null}}
{more}columns:
{columns}
"""


class Different(Exception):
    """Table or account is not the model's."""


class Player:
    """Plays scripts on a ground, each from an empty database."""

    def __init__(self, ground: Ground, scratch: Path) -> None:
        self._ground, self._scratch = ground, scratch
        self.seen: Counter[str] = Counter()  # what happened, by name
        self._datasets: dict[str, tuple[Dataset, Path]] = {}

    def play(self, script: Script) -> str | None:
        """None where all steps agree, or which step does not and how."""
        self._ground.clean()
        inbox = self._scratch / "inbox"
        shutil.rmtree(inbox, ignore_errors=True)
        inbox.mkdir(parents=True)
        with psycopg.connect(self._ground.dsn, autocommit=True) as connection:
            game = _Game(self, script, inbox, connection)
            try:
                return game.play()
            finally:
                game.others.close()

    def dataset(self, text: str, name: str) -> tuple[Dataset, Path]:
        """The dataset of that file, read once."""
        if text not in self._datasets:
            folder = self._scratch / "datasets" / hashlib.sha256(text.encode()).hexdigest()[:12]
            folder.mkdir(parents=True)
            file = folder / f"{name}.yaml"
            file.write_text(text)
            self._datasets[text] = load_dataset(file), file
        return self._datasets[text]


class _Game:
    def __init__(self, player: Player, script: Script, inbox: Path, connection: Connection[Any]) -> None:
        self._player, self._ground, self._script = player, player._ground, script
        self._connection = connection
        self._accounts: dict[UUID, tuple[Account, bytes]] = {}
        self._commands = 0
        self.others = Others(self._ground.dsn)
        self._limited = "delete_limit" in Dataset.model_fields
        self._places = []
        for number, shape in enumerate(script.shapes):
            ratio = script.delete_ratio if self._limited else None
            model = Table(shape.mode, 2 if shape.by_column else None, ratio)  # type: ignore[arg-type]
            self._places.append(Place(f"t{number}", shape, model, inbox))

    def play(self) -> str | None:
        for number, step in enumerate(self._script.steps, 1):
            try:
                if isinstance(step, Write):
                    self._note(f"{step.kind} {step.manner}")
                    self.others.do(step, self._places[step.table])
                elif isinstance(step, Pair):
                    self._pair(step)
                else:
                    self._deliver(step)
                self._compare()
                left = self._ground.left_behind()
                if left:
                    raise Different(f"left in staging: {', '.join(left)}")
            except Different as difference:
                return f"step {number}: {difference}"
            except Exception as error:
                return f"step {number}: {type(error).__name__}: {error}"
        return None

    def _note(self, *words: str) -> None:
        self._player.seen.update(words)

    # One run.

    def _deliver(self, order: Deliver) -> None:
        place, run, steps = self._prepare(order)
        if order.door != "steps":
            self._settle(place, run, steps.whole())
            return
        outcome = Outcome(steps.run_id)
        settled = False
        for moment, step in (("planned", steps.plan), ("loaded", steps.load), ("", steps.merge)):
            try:
                step()
            except Exception as error:
                outcome.error = error
                break
            if steps.early and not settled:
                self._settle(place, run, outcome)
                settled = True
            self._write_during(order, moment)
        self._end(place, run, steps, outcome, settled=settled)

    def _write_during(self, order: Deliver, moment: str) -> None:
        for when, write in order.during:
            if when == moment:
                self.others.do(write, self._places[write.table])

    def _end(self, place: Place, run: Run, steps: Steps, outcome: Outcome, *, settled: bool = False) -> None:
        """The last step of every run. What others did to its table since has no part in it."""
        if not settled:
            if outcome.error is None:
                self._settle(place, run, outcome)
            fault = steps.close()
            if outcome.error is not None:
                self._settle(place, run, outcome)
            elif fault is not None:
                raise Different(f"close: {fault}")
        elif (left := outcome.error or steps.close()) is not None:
            raise Different(f"after a plan with nothing to do: {left!r}")

    def _prepare(self, order: Deliver) -> tuple[Place, Run, Steps]:
        place = self._places[order.table]
        text, dataset_name = self._dataset_text(place, order), place.name
        dataset, dataset_file = self._player.dataset(text, dataset_name)
        file = place.inbox / f"{order.path}.csv"
        fresh = file.with_suffix(".new")
        fresh.write_bytes(order.file.stored(place.shape))
        fresh.rename(file)
        place.last_file = file
        run_id = uuid5(NAMESPACE_OID, f"{order.table} {order.run}")
        backwards = order.backwards and place.shape.mode != "append"  # which has no key
        shaping = f"{order.duplicates} {backwards} {sorted(place.types.items())}"
        records = None if order.file.empty else tuple(_record(line, place, order.file) for line in order.file.lines)
        name = order.run
        if order.door == "command":  # which begins a run of its own each time
            self._commands += 1
            name = f"{order.run} by command {self._commands}"
        run = Run(
            name, order.version, records, order.file.text(place.shape), order.path, order.duplicates,
            LIMIT, order.force, shaping,
        )  # fmt: skip
        steps = Steps(
            self._ground.dsn, self._connection, order, dataset, dataset_file, file, run_id, self._player._scratch / "s"
        )
        return place, run, steps

    def _dataset_text(self, place: Place, order: Deliver) -> str:
        shape = place.shape
        keys = [name for name, _ in shape.key_columns]
        firm = {*keys, "changed"}
        columns = [
            f'  {name}: {{type: "{place.type_of(name, kind)}"{"" if name in firm else ", nullable: true"}'
            f"{_names(name)}}}"
            for name, kind in (*shape.key_columns, *shape.value_columns)
        ]
        ratio = "null" if self._script.delete_ratio is None else self._script.delete_ratio
        return DATASET.format(
            name=place.name, mode=shape.mode, duplicates=order.duplicates, limit=LIMIT,
            key="" if shape.mode == "append" else ", ".join(keys[::-1] if order.backwards else keys),
            version="changed" if shape.by_column else "data_interval", chunk_bytes=order.chunk_bytes,
            more=f"delete_limit: {{ratio: {ratio}}}\n" if self._limited and shape.mode == "replace" else "",
            columns="\n".join(columns),
        )  # fmt: skip

    # Two at once.

    def _pair(self, pair: Pair) -> None:
        first, second = self._prepare(pair.one), self._prepare(pair.other)
        if pair.threads:
            self._note("threads")
            self._settle_both(first, second, in_threads(self._ground.dsn, first[2], second[2]))
            return
        self._note("interleaved")
        runs = (first, second)
        outcomes = [Outcome(steps.run_id) for _, _, steps in runs]
        settled = [False, False]
        for name, numbers in (("plan", (0, 1)), ("load", (0, 1)), ("merge", (1, 0))):
            for number in numbers:
                place, run, steps = runs[number]
                if outcomes[number].error is not None:
                    continue
                try:
                    getattr(steps, name)()
                except Exception as error:
                    if settled[number]:
                        raise Different(f"after the run had ended: {error!r}") from error
                    outcomes[number].error = error
                    steps.close()  # as Airflow does: the other one may change what this one was refused for
                if not settled[number] and (outcomes[number].error is not None or steps.early or name == "merge"):
                    self._settle(place, run, outcomes[number])
                    settled[number] = True
                self._write_during(steps.order, {"plan": "planned", "load": "loaded"}.get(name, ""))
        for outcome, (_, _, steps) in zip(outcomes, runs, strict=True):
            if outcome.error is None and (fault := steps.close()):
                raise Different(f"after the run had ended: {fault!r}")

    def _settle_both(self, first: Any, second: Any, outcomes: tuple[Outcome, Outcome]) -> None:
        """Either may have come first; where the outcome is open, either way."""
        pairs = [(*first[:2], outcomes[0]), (*second[:2], outcomes[1])]
        said = []
        for one, other in (pairs, pairs[::-1]):
            for guesses in product((None, False, True), repeat=2):
                models = {place.name: place.model.copy() for place in self._places}
                before = dict(self._accounts)
                try:
                    for (place, run, outcome), guess in zip((one, other), guesses, strict=True):
                        self._settle(place, run, outcome, guess)
                    self._compare()
                    return
                except Different as difference:
                    said.append(str(difference))
                    self._accounts = before
                    for place in self._places:
                        place.model = models[place.name]
        raise Different("in neither order: " + " | ".join(dict.fromkeys(said)))

    # The judgement.

    def _settle(self, place: Place, run: Run, outcome: Outcome, guess: bool | None = None) -> None:
        """Tell the model that a run came to its end, and hold its account against the ledger's."""
        error = outcome.error
        if error is not None and (not isinstance(error, IngestError) or isinstance(error, AccountMismatch)):
            raise Different(f"run {run.name} raised {type(error).__name__}: {error}")
        ledger = self._ground.account(outcome.run_id)
        if error is not None:
            self._settle_failed(place, run, error)
            return
        if ledger is None:
            raise Different(f"run {run.name} is not in the ledger")
        status, account = ledger
        self._balance(run, outcome, account)
        if status not in ("done", "skipped"):
            raise Different(f"run {run.name} ended as {status}")
        try:
            self._apply(place, run, outcome.run_id, status, account, guess)
        except Failed as fault:
            raise Different(f"run {run.name} is {status} with {account}, the model says: {fault}") from None
        self._accounts[outcome.run_id] = account, run.content

    def _apply(self, place: Place, run: Run, run_id: UUID, status: str, account: Account, guess: bool | None) -> None:
        model = place.model
        if place.misfit:
            raise Failed("a column is renamed, so that the table does not fit")
        before = self._accounts.get(run_id)
        stands = before is not None and before[0] == account  # a run that is cleared, with nothing to do
        if status == "skipped":
            self._note("skipped")
            model.skip(run)
            return
        seen = self._ground.rows(place.name, place.shape) or {}
        nothing = stands and len(seen) == len(model.rows) and run.name in {name for name, *_ in model.appended}
        if model.mode == "append" and nothing and not model.must_load(run):
            self._note("append cleared")
            return
        if model.mode == "append" and model.must_skip(run):
            raise Failed("its rows are in the table already")
        trial = model.copy()

        def took(key: Key, values: Values) -> bool:
            return guess if guess is not None else key in seen and seen[key][0] == values

        stale = bool(account.stale)
        expected = trial.load(run, took, stale=stale)
        if expected != account and stands and before is not None and before[1] == run.content:
            self._note("cleared, stands")
            model.skip(run)
            return
        if expected != account:
            raise Different(f"run {run.name}:\n  account {account}\n  model   {expected}")
        self._note("loaded", *(f"with {name}" for name in ("stale", "rejected", "deleted") if getattr(account, name)))
        place.model = trial

    def _settle_failed(self, place: Place, run: Run, error: BaseException) -> None:
        if place.misfit:
            self._note("misfit")
            return
        try:
            for stale in (True, False):  # which of them it is, may be open
                place.model.copy().load(run, stale=stale)
        except Failed:
            self._note("failed")
            return
        # Nobody can know what a newer file confirmed before the key's type was changed.
        if not (place.model.mode == "upsert" and not place.shape.by_column and run.version < place.model.retyped):
            raise Different(f"run {run.name} failed, and should not: {type(error).__name__}: {error}")
        self._note("refused")

    def _balance(self, run: Run, outcome: Outcome, account: Account) -> None:
        parts = account.inserted + account.updated + account.unchanged + account.superseded + account.rejected
        if account.read != parts or account.stale > account.superseded:
            raise Different(f"run {run.name} does not balance: {account}")
        kept = self._ground.rejected_rows(outcome.run_id)
        if kept != account.rejected:
            raise Different(f"run {run.name}: {account.rejected} rows were rejected, {kept} are kept")

    def _compare(self) -> None:
        for place in self._places:
            found = self._ground.rows(place.name, place.shape)
            versions = place.shape.mode == "upsert" and not place.shape.by_column
            difference = _difference(found or {}, place.model, versions=versions)
            if difference:
                raise Different(f"table {place.name}:\n{difference}")


def _names(column: str) -> str:
    return ", source: [label, caption]" if column == "label" else ""


def _record(line: Line, place: Place, file: File) -> Record:
    record = line.record
    if record.bad:
        return record
    record = replace(record, values=file.layout.read(record.values))
    if place.shape.mode != "append":
        return record
    return replace(record, key=(), values=(*(record.key or ()), *record.values))


def _difference(found: Seen, model: Table, *, versions: bool) -> str:
    if model.mode == "append":
        mine = Counter(row.values for row in model.rows.values())
        its = Counter(values for values, _ in found.values())
        lines = [f"  {n} x {values} too many" for values, n in (its - mine).items()]
        return "\n".join(lines + [f"  {n} x {values} missing" for values, n in (mine - its).items()])
    lines = []
    for key in sorted({*found, *model.rows}):
        row, seen = model.rows.get(key), found.get(key)
        wanted = None if row is None else (row.values, row.source if versions else None)
        is_there = None if seen is None else (seen[0], seen[1] if versions else None)
        if wanted != is_there:
            lines.append(f"  {key}: table {is_there}, model {wanted}")
    return "\n".join(lines)
