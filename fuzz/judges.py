"""Which judges there are, and how one is opened."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from fuzz.judging import Judge

NAMES = ("files", "values", "sequences")


def present() -> list[str]:
    """The judges that are here."""
    return [name for name in NAMES if find_spec(f"fuzz.{name}")]


def open_judge(name: str, dsn: str, scratch: Path) -> Judge:
    """The judge of that name, on a server where nobody else uses its databases."""
    return cast(Judge, import_module(f"fuzz.{name}").open_judge(dsn, scratch))
