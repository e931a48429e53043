"""A result as a table on the terminal, as JSON, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure
from bench.traits import Traits

COLUMNS = (
    "contender", "file", "s", "MB/s", "client CPU s", "server CPU s", "peak MB", "WAL MB",
    "upserts", "survives a bad row", "quoted newlines",
)  # fmt: skip


@dataclass
class Line:
    """One contender with one kind of file. CPU, memory and WAL are of the last repetition."""

    label: str
    file: str
    megabytes: float
    seconds: list[float] = field(default_factory=list)
    client_cpu_seconds: float | None = None
    server_cpu_seconds: float | None = None
    peak_bytes: int | None = None
    wal_bytes: int | None = None
    traits: Traits | None = None
    note: str = ""

    @property
    def speed(self) -> float | None:
        """MB/s."""
        return self.megabytes / median(self.seconds) if self.seconds else None

    def cells(self) -> list[str]:
        """The line's cells, in the order of COLUMNS."""
        traits = self.traits or Traits()
        if not self.seconds:
            return [f"{self.label}: {self.note}", self.file, "-", *[""] * (len(COLUMNS) - 3)]
        return [
            self.label, self.file, _number(median(self.seconds), 1), _number(self.speed, 1),
            _number(self.client_cpu_seconds, 1), _number(self.server_cpu_seconds, 1),
            _number(self.peak_bytes, 0, 1e6), _number(self.wal_bytes, 0, 1e6),
            *map(_yes, [traits.upserts, traits.survives_bad_row, traits.reads_quoted_newlines]),
        ]  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table of its own; the first column says of what a row is."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Result:
    """All that a benchmark found."""

    title: str
    machine: dict[str, str]
    lines: list[Line]
    figures: list[Figure]
    profile: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)

    def all_sheets(self) -> list[Sheet]:
        """Every table but that of the figures."""
        first = [Sheet(self.title, COLUMNS, [line.cells() for line in self.lines])] if self.lines else []
        return [*first, *self.sheets]


def show(result: Result, console: Console) -> None:
    """Print it."""
    console.print(*(_table(sheet) for sheet in result.all_sheets()), sep="\n")
    show_figures(result.figures, console)
    console.print(*result.notes, sep="\n")
    for part, cost in _costs(result.profile):
        console.print(f"{part}: {cost}")


def show_figures(figures: Sequence[Figure], console: Console) -> None:
    """Print the figures with their bounds."""
    bounds = Table(title="Figures", title_justify="left")
    for name in ("figure", "value", "must", "aim", ""):
        bounds.add_column(name, justify="left" if name in ("figure", "") else "right")
    for figure in figures:
        bounds.add_row(*_figure_cells(figure))
    console.print(bounds)


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left")
    left = 2 if sheet.columns == COLUMNS else 1
    for number, name in enumerate(sheet.columns):
        table.add_column(name, justify="left" if number < left else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def write(result: Result, folder: Path, name: str) -> None:
    """Write `<name>.json` and `<name>.md` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {**asdict(result), "figures": [figure.as_dict() for figure in result.figures]}
    for line, values in zip(result.lines, content["lines"], strict=True):
        values["megabytes_per_second"] = line.speed
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / f"{name}.md").write_text(_markdown(result))


def last_line(figures: Sequence[Figure]) -> str:
    """The figures for programs."""
    return json.dumps([figure.as_dict() for figure in figures])


def _markdown(result: Result) -> str:
    parts = [f"# {result.title}"]
    for sheet in result.all_sheets():
        parts += [f"## {sheet.title}"] if sheet.title != result.title else []
        parts.append(_rows(sheet.columns, sheet.rows))
    parts.append(_rows(("figure", "value", "must", "aim", ""), [_figure_cells(figure) for figure in result.figures]))
    parts += ["\n".join(f"- {note}" for note in result.notes)] if result.notes else []
    if result.profile:
        parts.append("## Profile\n\n" + _rows(("part", "cost"), _costs(result.profile)))
    parts.append("## Machine\n\n" + _rows(("fact", ""), [[name, value] for name, value in result.machine.items()]))
    return "\n\n".join(parts) + "\n"


def _costs(profile: dict[str, Any]) -> list[list[str]]:
    """Each part of a profile and its figures in words; the parts of a part follow it."""
    found = []
    for part, values in profile.items():
        nested = {name: cost for inner in values.values() if isinstance(inner, dict) for name, cost in inner.items()}
        plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
        found.append([part, ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in plain.items())])
        found += _costs({f"{part}, {name}": value for name, value in nested.items()})
    return found


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _figure_cells(figure: Figure) -> list[str]:
    sign = "≤" if figure.better == "lower" else "≥"
    verdict = "aim reached" if figure.aimed else "must reached" if figure.reached else "MISSED"
    value = "not measured" if figure.value is None else f"{figure.value:g}"
    return [figure.figure, value, f"{sign} {figure.must:g}", f"{sign} {figure.aim:g}", verdict]


def _number(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]
