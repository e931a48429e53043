"""The dataset's own `clean(frame) -> frame`: loaded by name, run on typed rows, checked afterwards."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from include.ingest.cast import check_column
from include.ingest.cast.printed import printed
from include.ingest.errors import HookError
from include.own_folders import is_open, make_importable, own_folders

if TYPE_CHECKING:
    import pandas as pd

    from include.ingest.dataset.definition import Dataset

Dropped = tuple[int, str | None, str | None, str, str]  # row, column, value, rule, reason


def load_hook(name: str | None) -> Callable[[pd.DataFrame], pd.DataFrame] | None:
    """The function that `package.module:function` names, also in a folder of the user's. Raises HookError for none."""
    if name is None:
        return None
    make_importable()
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        left_out = "".join(
            f". {folder} is left out, as whoever writes there would run code here: mount it read-only"
            for folder in own_folders()
            if is_open(folder)
        )
        raise HookError(f"clean: {name} can't be loaded: {type(error).__name__}: {error}{left_out}") from error
    if not callable(found):
        raise HookError(f"clean: {name} is not a function")
    return found  # type: ignore[no-any-return]


def code_of(hook: Callable[[pd.DataFrame], pd.DataFrame] | None) -> str:
    """A digest of the code behind a hook: its module, and the modules that it uses out of its own folder or below.

    Empty without a hook. What a hook takes from elsewhere, an installed package for instance, does not count.
    """
    module = inspect.getmodule(hook) if hook else None
    found: dict[str, bytes] = {}
    _read_code(module, None, found)
    code = b"".join(name.encode() + text for name, text in sorted(found.items()))
    return hashlib.sha256(code).hexdigest() if code else ""


def _read_code(module: ModuleType | None, folder: Path | None, found: dict[str, bytes]) -> None:
    file = Path(getattr(module, "__file__", None) or "")
    if module is None or module.__name__ in found or file.suffix != ".py" or not file.is_file():
        return
    folder = folder or file.parent
    if not file.is_relative_to(folder):
        return
    found[module.__name__] = file.read_bytes()
    for value in list(vars(module).values()):
        used = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
        _read_code(used, folder, found)


def apply_hook(
    clean: Callable[[pd.DataFrame], pd.DataFrame], table: pa.Table, lines: np.ndarray, dataset: Dataset
) -> tuple[pa.Table, np.ndarray, list[Dropped]]:
    """Run the hook on a block's rows and check what comes back against the dataset.

    The frame has Arrow-backed dtypes and the line numbers as its index, by which a row is known afterwards:
    the hook may change cells, and may drop rows, which are then rejected. Returns the table, the row
    numbers (into the table given) that it holds, and the rows dropped or at fault.
    """
    import pandas as pd

    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    frame.index = pd.Index(lines, name="line_number")
    try:
        result = clean(frame)
    except Exception as error:
        where = f"lines {lines[0]} to {lines[-1]}"
        raise HookError(f"clean: {dataset.clean} raised {type(error).__name__} at {where}: {error}") from error
    _check_shape(result, lines, table.schema, dataset)
    rows = np.searchsorted(lines, result.index.to_numpy())
    try:
        result = pa.Table.from_pandas(result, schema=table.schema, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise HookError(f"clean: {dataset.clean} changed a column's type: {error}") from error
    gone = np.setdiff1d(np.arange(table.num_rows), rows)
    dropped: list[Dropped] = [(int(row), None, None, "clean", f"dropped by {dataset.clean}") for row in gone]
    bad: dict[int, Dropped] = {}
    for name, column in dataset.columns.items():
        for fault in check_column(result[name].combine_chunks(), column):
            reason = f"{fault.reason}, after {dataset.clean}"
            values = printed(result[name].take(pa.array(fault.rows)), column.sql_type)
            for row, value in zip(fault.rows.tolist(), values, strict=True):
                shown = None if value is None else value.replace("\0", "\\x00")  # which PostgreSQL's text can't hold
                bad.setdefault(row, (int(rows[row]), name, shown, fault.rule, reason))
    good = np.setdiff1d(np.arange(len(rows)), list(bad))
    return result.take(pa.array(good)), rows[good], dropped + list(bad.values())


def _check_shape(result: object, lines: np.ndarray, schema: pa.Schema, dataset: Dataset) -> None:
    import pandas as pd

    if not isinstance(result, pd.DataFrame):
        raise HookError(f"clean: {dataset.clean} returned {type(result).__name__} instead of a DataFrame")
    missing = [name for name in schema.names if name not in result.columns]
    if missing:
        raise HookError(f"clean: {dataset.clean} lost the columns {', '.join(missing)}")
    if not result.index.is_unique or not np.isin(result.index.to_numpy(), lines).all():
        raise HookError(f"clean: {dataset.clean} must keep the index (line numbers): it added or renumbered rows")
