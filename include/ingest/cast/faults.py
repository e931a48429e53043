"""Which cells of a column are at fault, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.dataset.sql_types import (
    ValueFault,
)


@dataclass(frozen=True)
class Fault:
    """Cells that break one rule: their numbers in the column (int64), the rule's short word, and the reason."""

    rows: np.ndarray
    rule: str
    reason: str


class Faults:
    """Collects faults; a cell that is at fault already is not added again."""

    def __init__(self, size: int) -> None:
        self.bad = np.zeros(size, dtype=bool)
        self._found: dict[tuple[str, str], list[np.ndarray]] = {}

    def add(self, where: np.ndarray, rule: str, reason: str) -> None:
        """Add the cells of a mask or of a list of numbers."""
        rows = np.flatnonzero(where) if where.dtype == bool else where
        rows = rows[~self.bad[rows]]
        if len(rows):
            self.bad[rows] = True
            self._found.setdefault((rule, reason), []).append(rows.astype(np.int64))

    def add_one(self, row: int, fault: ValueFault) -> None:
        """Add one cell."""
        self.add(np.array([row]), fault.rule, fault.reason)

    def list(self) -> list[Fault]:
        """What was found, by rule and reason."""
        return [Fault(np.concatenate(rows), rule, reason) for (rule, reason), rows in self._found.items()]

    def clear(self, values: pa.Array) -> pa.Array:
        """The values with null where a cell is at fault."""
        if not self.bad.any():
            return values
        return pc.if_else(pa.array(self.bad), pa.scalar(None, values.type), values)
