"""What a check found of one dataset file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from include.ingest.dataset.definition import Dataset


@dataclass
class Checked:
    """One file. Faults and warnings are whole lines: file, line, field and what is wrong."""

    file: Path
    dataset: Dataset | None = None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)  # what was seen: source, schedule, target

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        values = asdict(self)
        name = self.dataset.name if self.dataset else None
        return {"file": str(self.file), "name": name, **{key: values[key] for key in ("faults", "warnings", "facts")}}
