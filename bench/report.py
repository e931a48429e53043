"""A report as tables on the terminal, as JSON, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from bench.figures import READING, Figure, Key, Runs, number

One = TypeVar("One")
Column = tuple[str, int]  # an attribute, and digits
Cells = Mapping[str, Callable[[One], str]]
FIGURES = ("figure", "value", "unit", "must", "aim", "")


@dataclass(frozen=True)
class Sheet:
    """A table; the first column says of what a row is."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, things: Iterable[One], cells: Cells[One]) -> Sheet:
        """A row for each thing, made by the function of each column."""
        return cls(title, list(cells), [[cell(one) for cell in cells.values()] for one in things])

    @classmethod
    def medians(
        cls, title: str, first: Cells[Key], runs: Runs[Key, One], columns: Mapping[str, Column],
        last: Cells[Key] = MappingProxyType({}),
    ) -> Sheet:  # fmt: skip
        """A row for each contender with runs: what `first` says of it, medians of the runs' attributes, `last`."""

        def cell(of: str, digits: int) -> Callable[[Key], str]:
            return lambda key: number(runs.median(key, attrgetter(of)), digits)

        found = {name: cell(*column) for name, column in columns.items()}
        return cls.of(title, runs.by, {**first, **found, **last})

    @classmethod
    def numbered(cls, title: str, what: str, things: Sequence[One], cells: Cells[One]) -> Sheet:
        """The same, with a number in front."""
        sheet = cls.of(title, things, cells)
        rows = [[str(place), *row] for place, row in enumerate(sheet.rows, 1)]
        return cls(title, [what, *sheet.columns], rows)

    @classmethod
    def facts(cls, title: str, facts: Mapping[str, str], columns: Sequence[str] = ("fact", "")) -> Sheet:
        """A row for each fact."""
        return cls(title, columns, [list(fact) for fact in facts.items()])


@dataclass
class Report:
    """All that a benchmark found; `raw` goes into the JSON as it is."""

    title: str
    machine: dict[str, str]
    figures: list[Figure]
    notes: list[str]
    sheets: list[Sheet]
    raw: dict[str, Any] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print it."""
        for sheet in (*self.sheets, self._figures()):
            table = Table(title=sheet.title, title_justify="left")
            for place, name in enumerate(sheet.columns):
                table.add_column(name, justify="right" if place else "left", overflow="fold")
            for row in sheet.rows:
                table.add_row(*row)
            console.print(table)
        console.print(*self.notes, sep="\n")

    def write(self, folder: Path, name: str) -> None:
        """Write `<name>.json` and `<name>.md` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {**asdict(self), "figures": [figure.as_dict() for figure in self.figures], **self.raw}
        del content["raw"]
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
        (folder / f"{name}.md").write_text(self._markdown())

    def last_line(self) -> str:
        """The figures for programs."""
        return json.dumps([figure.as_dict() for figure in self.figures])

    def _figures(self) -> Sheet:
        return Sheet("Figures", FIGURES, [figure.cells() for figure in self.figures])

    def _markdown(self) -> str:
        sheets = [*self.sheets, self._figures(), Sheet.facts("Machine", self.machine)]
        parts = [f"# {self.title}"]
        for sheet in sheets:
            parts += [f"## {sheet.title}", _rows(sheet)]
            if sheet.columns is FIGURES:
                parts += [READING, "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def _rows(sheet: Sheet) -> str:
    lines = [sheet.columns, ["---"] * len(sheet.columns), *sheet.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
