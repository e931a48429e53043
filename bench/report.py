"""A report as tables on the terminal, as JSON, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import READING, Figure, Row

FIGURES = ("figure", "value", "unit", "must", "aim", "")


@dataclass(frozen=True)
class Sheet:
    """A table; the first column says of what a row is."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, what: str, rows: Mapping[str, Row] | Sequence[Row]) -> Sheet:
        """A line for each row, by its name or its number."""
        named = rows if isinstance(rows, Mapping) else {str(place): row for place, row in enumerate(rows, 1)}
        columns = dict.fromkeys(name for row in named.values() for name in row)
        lines = [[name, *(shown(row.get(column)) for column in columns)] for name, row in named.items()]
        return cls(title, [what, *columns], lines)


@dataclass
class Report:
    """All that a benchmark found; `raw` goes into the JSON as it is."""

    title: str
    machine: dict[str, str]
    figures: list[Figure]
    notes: list[str]
    sheets: list[Sheet]
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def all_sheets(self) -> list[Sheet]:
        """With that of the figures."""
        return [*self.sheets, Sheet("Figures", FIGURES, [figure.cells() for figure in self.figures])]

    def show(self, console: Console) -> None:
        """Print it."""
        for sheet in self.all_sheets:
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
        parts, machine = [f"# {self.title}"], dict[str, Row]()
        machine |= {name: {"": value} for name, value in self.machine.items()}
        for sheet in (*self.all_sheets, Sheet.of("Machine", "fact", machine)):
            lines = [sheet.columns, ["---"] * len(sheet.columns), *sheet.rows]
            rows = ("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
            parts += [f"## {sheet.title}", "\n".join(rows)]
            if sheet.columns is FIGURES:
                parts += [READING, "\n".join(f"- {note}" for note in self.notes)]
        (folder / f"{name}.md").write_text("\n\n".join(part for part in parts if part) + "\n")


def shown(value: float | str | None) -> str:
    """A cell of a table: numbers with three or four digits that count."""
    if value is None or isinstance(value, str):
        return value or ""
    size = abs(value)
    return f"{value:,.{0 if isinstance(value, int) or size >= 200 else 1 if size >= 20 else 2 if size >= 1 else 4}f}"
