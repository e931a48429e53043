"""A script: the steps of a sequence as plain values, so that one that fails can be cut down and still be played."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from typing import Literal

from fuzz.sequences.model import Key, Record, Values
from fuzz.sequences.shapes import Shape

Moment = Literal["planned", "loaded"]
Door = Literal["run", "steps", "command"]


@dataclass(frozen=True)
class Line:
    """A record as the file spells it, and as the model sees it."""

    cells: tuple[str, ...]
    record: Record


@dataclass(frozen=True)
class Layout:
    """How a day's file has its columns."""

    turned: int = 0  # so many have gone from the front to the end
    label: Literal["label", "caption", ""] = "label"  # the name of that column; "": the file lacks it
    more: bool = False  # it has a column that nobody asked for

    def header(self, names: list[str]) -> list[str]:
        """The names of the file's columns."""
        return self._arranged(names, [self.label if name == "label" else name for name in names], "extra")

    def cells(self, names: list[str], cells: tuple[str, ...]) -> list[str]:
        """A record's cells; of one of a wrong width, one less than there are columns."""
        if len(cells) == len(names):
            return self._arranged(names, list(cells), "x,y")
        return [*cells, "x"][: len(self.header(names)) - 1]

    def _arranged(self, names: list[str], cells: list[str], more: str) -> list[str]:
        held = [cell for name, cell in zip(names, cells, strict=True) if self.label or name != "label"]
        held = [*held, more] if self.more else held
        place = self.turned % len(held)
        return held[place:] + held[:place]

    def read(self, values: Values) -> Values:
        """What a good record's values are in the table; the label is the first of them."""
        return values if self.label else (None, *values[1:])


@dataclass(frozen=True)
class File:
    """A file. `empty`: not even a header."""

    lines: tuple[Line, ...]
    empty: bool = False
    packed: bool = False
    newline: str = "\n"
    layout: Layout = Layout()

    def text(self, shape: Shape) -> bytes:
        """The plain bytes."""
        if self.empty:
            return b""
        names, layout = shape.names, self.layout
        rows = [layout.header(names), *(layout.cells(names, line.cells) for line in self.lines)]
        return "".join(",".join(map(_cell, row)) + self.newline for row in rows).encode()

    def stored(self, shape: Shape) -> bytes:
        """The bytes on disk."""
        return gzip.compress(self.text(shape), 1, mtime=0) if self.packed else self.text(shape)


def _cell(text: str) -> str:
    plain = not set(text) & set(',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


@dataclass(frozen=True)
class Write:
    """What somebody else does to a table; `writers` knows the kinds."""

    kind: str
    changes: tuple[tuple[str, Key, Values], ...] = ()  # update, insert, delete, or rekey to the key in `values`
    manner: str = "plain"
    slot: int = 0  # which of the transactions that are open
    table: int = 0

    def __str__(self) -> str:
        shown = f"others: {self.kind}" + (f" ({self.manner})" if self.changes else "")
        shown += f" of transaction {self.slot}" if self.kind in ("open", "finish") else ""
        return "\n      ".join([shown, *(f"{what} {key} {values}" for what, key, values in self.changes)])


@dataclass(frozen=True)
class Deliver:
    """A run of a file."""

    file: File
    run: str
    version: int
    path: str
    chunk_bytes: int = 1 << 20
    duplicates: Literal["last", "first", "reject"] = "last"
    force: bool = False
    backwards: bool = False  # the key's columns listed in the other order
    door: Door = "run"
    during: tuple[tuple[Moment, Write], ...] = ()
    death: tuple[str, str, int] | None = None  # which step, how, after how many statements or milliseconds
    table: int = 0

    def __str__(self) -> str:
        words = [f"run {self.run} version {self.version} of {self.path} through {self.door}"]
        words += [f"duplicates {self.duplicates}"] if self.duplicates != "last" else []
        words += [f"chunks of {self.chunk_bytes} bytes"] if self.chunk_bytes < 1 << 20 else []
        words += ["force"] if self.force else []
        words += ["key listed backwards"] if self.backwards else []
        words += ["{} dies ({} {})".format(*self.death)] if self.death else []
        lines = [", ".join(words) + (": no header" if self.file.empty else "") + (" (packed)" * self.file.packed)]
        lines += [str(self.file.layout)] if self.file.layout != Layout() else []
        lines += ["  " + repr(",".join(map(_cell, line.cells))) for line in self.file.lines]
        lines += [f"when {moment}: {write}" for moment, write in self.during]
        return "\n      ".join(lines)


@dataclass(frozen=True)
class Pair:
    """Two runs at once: A is planned, B is planned, both load, B is merged, A is merged; or both in threads."""

    one: Deliver
    other: Deliver
    threads: bool = False

    def __str__(self) -> str:
        how = "in threads" if self.threads else "plan A, plan B, load A, load B, merge B, merge A"
        return f"two at once, {how}:\n   A: {self.one}\n   B: {self.other}"


Step = Write | Deliver | Pair


@dataclass(frozen=True)
class Script:
    """Tables and what is done to them."""

    shapes: tuple[Shape, ...]
    steps: tuple[Step, ...]
    delete_ratio: float | None = 0.5
    others: bool = field(default=False, compare=False)

    def without(self, first: int, number: int) -> Script:
        """The script with some steps less."""
        return replace(self, steps=self.steps[:first] + self.steps[first + number :])

    def __str__(self) -> str:
        head = [f"table {number}: {shape}" for number, shape in enumerate(self.shapes)]
        return "\n".join([*head, *(f"{number:2} {step}" for number, step in enumerate(self.steps, 1))])
