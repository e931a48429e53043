"""A hook for datasets of the tests."""

from __future__ import annotations

import pandas as pd


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels in capitals."""
    frame["label"] = frame["label"].str.upper()
    return frame


def broken(frame: pd.DataFrame) -> pd.DataFrame:
    """No frame at all."""
    raise ValueError(f"{len(frame)} rows")
