"""A table of a sequence, as PostgreSQL and the model have it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from fuzz.sequences.model import Row, Table
from fuzz.sequences.shapes import Shape


@dataclass
class Place:
    """One table of a sequence: as PostgreSQL has it and as the model does."""

    name: str
    shape: Shape
    model: Table
    inbox: Path
    types: dict[str, str] = field(default_factory=dict)  # columns whose type somebody changed
    misfit: bool = False  # a column is renamed
    dump: dict[Any, Row] | None = None
    last_file: Path | None = None

    @property
    def table(self) -> sql.Identifier:
        """The qualified name."""
        return sql.Identifier("public", self.name)

    def type_of(self, column: str, kind: str) -> str:
        """The type that the column has now."""
        return self.types.get(column, kind)
