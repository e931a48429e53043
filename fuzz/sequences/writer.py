"""Who writes a script: from a seed, always the same one."""

from __future__ import annotations

import random
from dataclasses import replace

from fuzz.sequences.model import Record
from fuzz.sequences.script import Deliver, Door, File, Layout, Line, Moment, Pair, Script, Step, Write
from fuzz.sequences.shapes import KEYS, Shape

LEAST_STEPS = 20
QUIET = ("vacuum full", "freeze", "analyze", "add column", "trigger", "dump", "publish")
ROUGH = ("truncate", "drop", "remake", "swap", "restore data", "restore table", "retype", "rename", "unlink")
DOORS: tuple[Door, ...] = ("run", "steps", "command")
MOMENTS: tuple[Moment, ...] = ("planned", "loaded")
MANNERS = ("plain", "transaction", "savepoint", "savepoint", "plpgsql", "undone")


def write_script(seed: int) -> Script:
    """The script of a seed: at least 20 steps on one or two tables; others write in more than half of them."""
    chance = random.Random(seed)
    shapes = tuple(_shape(chance) for _ in range(1 if chance.random() < 0.85 else 2))
    others = chance.random() < 0.6
    author = _Author(chance, shapes, others)
    steps: list[Step] = []
    for _ in range(LEAST_STEPS + chance.randrange(6)):
        steps.append(author.step())
    ratio = chance.choice([0.5, 0.5, 0.9, None])
    return Script(shapes, tuple(steps), ratio, others)


def _shape(chance: random.Random) -> Shape:
    mode = chance.choices(["upsert", "column", "replace", "append"], [45, 15, 25, 15])[0]
    key = chance.choice(list(KEYS))
    return Shape(key, "upsert" if mode == "column" else mode, mode == "column", chance.random() < 0.15)


class _Author:
    def __init__(self, chance: random.Random, shapes: tuple[Shape, ...], others: bool) -> None:
        self.chance, self.shapes, self.others = chance, shapes, others
        self.universe = chance.choice([8, 20, 45])
        self.wavering = chance.choice([0.0, 0.0, 0.3])  # another rule for duplicates is another dataset
        self.day = 1
        self.open: set[int] = set()
        self.runs: list[list[Deliver]] = [[] for _ in shapes]
        self.number = 0
        self.columns = Layout()

    def step(self) -> Step:
        table = self.chance.randrange(len(self.shapes))
        if self.others and self.chance.random() < 0.45:
            return self.write(table)
        if self.chance.random() < 0.08:
            threads = self.chance.random() < 0.4
            one, other = (self.deliver(table, new=True) for _ in range(2))
            # Step by step, whichever door it would have come through: a command would begin a run of its own.
            one, other = (replace(each, path=each.run, death=None, door="steps") for each in (one, other))
            if threads:
                one, other = (replace(each, door="run", during=()) for each in (one, other))
            return Pair(one, other, threads)
        return self.deliver(table)

    # What is delivered.

    def deliver(self, table: int, *, new: bool = False) -> Deliver:
        chance, earlier = self.chance, self.runs[table]
        self.number += 1
        name = f"r{self.number}"
        path = f"f{self.number}" if chance.random() < 0.8 or not earlier else chance.choice(earlier).path
        file = self.file(table)
        order = Deliver(file, name, self.version(), path, table=table)
        if earlier and not new and chance.random() < 0.15:  # a run is cleared
            cleared = earlier[-1] if chance.random() < 0.6 else chance.choice(earlier)
            same = chance.random() < 0.5
            order = replace(order, run=cleared.run, version=cleared.version, path=cleared.path)
            order = replace(order, file=cleared.file) if same else order
        elif earlier and chance.random() < 0.12:  # the same file again
            same_file = chance.choice(earlier[-3:])
            order = replace(order, file=same_file.file, path=chance.choice([same_file.path, path]))
        elif len(earlier) > 1 and chance.random() < 0.1:  # a correction is taken back
            order = replace(order, file=earlier[-2].file, version=earlier[-1].version)
        order = self.dress(order)
        earlier.append(order)
        return order

    def version(self) -> int:
        kind = self.chance.random()
        if kind < 0.5:
            self.day += 1
            return self.day
        return self.day if kind < 0.7 else self.chance.randint(1, self.day + 1)

    def dress(self, order: Deliver) -> Deliver:
        """How the file is delivered."""
        chance = self.chance
        size = len(order.file.lines) * 40 + 20
        chunk = chance.choices([1 << 20, max(1, size // 3), 1], [70, 25, 5 if len(order.file.lines) < 12 else 0])[0]
        door: Door = chance.choices(DOORS, [55, 42, 3])[0]
        order = replace(
            order, chunk_bytes=chunk, door=door, force=chance.random() < 0.12,
            duplicates=chance.choice(["first", "reject", "last"]) if chance.random() < self.wavering else "last",
            backwards=self.shapes[order.table].key == "compound" and chance.random() < 0.3,
        )  # fmt: skip
        if door != "steps":
            return order
        if chance.random() < 0.25:
            how = chance.choices(["statement", "again", "terminated", "killed", "replanned"], [55, 20, 10, 5, 10])[0]
            order = replace(order, death=(chance.choice(["plan", "load", "merge"]), how, chance.randrange(45)))
        replanned = order.death is not None and order.death[1] == "replanned"  # it would be another run by then
        if self.others and not replanned and chance.random() < 0.6:
            moments = chance.sample(MOMENTS, chance.choice([1, 1, 2]))
            writes = [(moment, self.write_during(order.table)) for moment in MOMENTS if moment in moments]
            # A file taken away, or a type changed, under a run fails it, and should.
            order = replace(order, during=tuple(each for each in writes if each[1].kind not in ("unlink", "retype")))
        return order

    def file(self, table: int) -> File:
        chance, shape = self.chance, self.shapes[table]
        earlier = [one.file for one in self.runs[table] if one.file.lines]
        kind = chance.random()
        if kind < 0.02:
            return File((), empty=True)
        if kind < 0.06:
            return File(())
        if earlier and kind < 0.85:
            lines = self.derived(shape, list((earlier[-1] if chance.random() < 0.8 else chance.choice(earlier)).lines))
        else:
            keys = chance.sample(range(self.universe), chance.randint(1, self.universe))
            lines = [self.line(shape, key) for key in (sorted(keys) if chance.random() < 0.7 else keys)]
        if chance.random() < 0.15:
            lines += [self.line(shape, chance.randrange(self.universe)) for _ in range(chance.randint(1, 3))]
        if chance.random() < 0.12:
            for _ in range(chance.choice([1, 1, 2, 5])):
                lines.insert(chance.randint(0, len(lines)), self.bad_line(shape))
        newline = chance.choice(["\n", "\n", "\n", "\r\n"])
        return File(tuple(lines), packed=chance.random() < 0.04, newline=newline, layout=self.layout())

    def layout(self) -> Layout:
        """Most days have the columns as the day before."""
        chance = self.chance
        if chance.random() < 0.2:
            turned, more = chance.choice([0, 0, 1, 2, 3]), chance.random() < 0.4
            self.columns = Layout(turned, chance.choice(["label", "label", "caption", ""]), more)
        return self.columns

    def derived(self, shape: Shape, lines: list[Line]) -> list[Line]:
        """Another day's lines."""
        chance = self.chance
        how = chance.choice(["changed", "changed", "one", "fewer", "more", "shuffled", "same values"])
        if how == "shuffled":
            chance.shuffle(lines)
        found = []
        for line in lines:
            key = line.record.key
            if how == "fewer" and chance.random() < 0.15:
                continue
            if how == "changed" and chance.random() < 0.1 and key and not line.record.bad:
                values = shape.make_values(chance)
                line = self.spelled(shape, key, values)
            elif how == "same values" and key and not line.record.bad and chance.random() < 0.3:
                line = self.spelled(shape, self.keys_of(shape, line)[0], self.keys_of(shape, line)[1])
            found.append(line)
        if how == "one" and found:
            place = chance.randrange(len(found))
            if found[place].record.key:
                found[place] = self.spelled(shape, self.keys_of(shape, found[place])[0], shape.make_values(chance))
        if how == "more":
            for _ in range(chance.randint(1, 4)):
                found.insert(chance.randint(0, len(found)), self.line(shape, chance.randrange(self.universe)))
        return found

    @staticmethod
    def keys_of(shape: Shape, line: Line) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        return line.record.key or (), line.record.values

    def line(self, shape: Shape, number: int) -> Line:
        return self.spelled(shape, shape.make_key(number), shape.make_values(self.chance))

    def spelled(self, shape: Shape, key: tuple[str, ...], values: tuple[str | None, ...]) -> Line:
        return Line(shape.spell(self.chance, key, values), Record(key, values))

    def bad_line(self, shape: Shape) -> Line:
        chance = self.chance
        key = shape.make_key(chance.randrange(self.universe))
        cells = list(shape.spell(chance, key, shape.make_values(chance)))
        amount = len(key) + 1
        how = chance.choice(["amount", "amount", "key", "ragged"])
        if how == "ragged" and shape.mode != "replace":
            return Line(tuple(cells[:-1]), Record(None, (), bad=True))
        if how == "key":
            cells[0] = ""
            return Line(tuple(cells), Record(None, (), bad=True))
        cells[amount] = chance.choice(["1.005", "much", "123456789012345"])
        return Line(tuple(cells), Record(key, (), bad=True))

    # What others do.

    def write(self, table: int) -> Write:
        chance = self.chance
        kind = chance.random()
        if kind < 0.12:
            slot = chance.randrange(2)
            if slot not in self.open:
                self.open.add(slot)
                return Write("open", manner=chance.choice(["xid", "savepoint", "savepoint", "plpgsql"]), slot=slot)
        if kind < 0.24 and self.open:
            slot = chance.choice(sorted(self.open))
            self.open.discard(slot)
            manner = chance.choice(["plain", "savepoint", "undone"])
            return Write("finish", self.changes(table), manner, slot, table)
        if kind < 0.68:
            return Write("change", self.changes(table), chance.choice(MANNERS), table=table)
        if kind < 0.84:
            # A published table without a key takes no UPDATE.
            keyed = all(shape.mode != "append" for shape in self.shapes)
            quiet = chance.choice(QUIET if keyed else QUIET[:-1])
            return Write(quiet, table=table, slot=chance.randrange(3))
        return Write(chance.choice(ROUGH), self.changes(table)[:1], table=table, slot=chance.randrange(3))

    def write_during(self, table: int) -> Write:
        if self.chance.random() < 0.5:
            return self.write(table)
        return Write("change", self.changes(table), self.chance.choice(MANNERS), table=table)

    def changes(self, table: int) -> tuple[tuple[str, tuple[str, ...], tuple[str | None, ...]], ...]:
        chance, shape = self.chance, self.shapes[table]
        found = []
        for _ in range(chance.choice([1, 1, 2, 4])):
            what = chance.choice(["update", "update", "update", "insert", "delete", "delete", "rekey", "anew"])
            key = shape.make_key(chance.randrange(self.universe))
            values = shape.make_key(chance.randrange(self.universe)) if what == "rekey" else shape.make_values(chance)
            found.append((what, key, values))
        return tuple(found)
