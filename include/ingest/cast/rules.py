"""What a column demands of its values: present, within bounds, of a length, of a pattern, one of some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast.cells import extents, null_mask, or_false
from include.ingest.cast.faults import Faults

if TYPE_CHECKING:
    from include.ingest.dataset.columns import Column


def check_required(values: pa.Array, column: Column, faults: Faults) -> None:
    """Null where the column demands a value."""
    if not column.nullable and values.null_count:
        faults.add(null_mask(values), "required", "no value, and the column is not nullable")


def check_rules(values: pa.Array, column: Column, faults: Faults) -> None:
    """Bounds, length, pattern and allowed values."""
    for rule, bound in column.bounds.items():
        _check_bound(values, rule, bound, faults)
    _check_length(values, column, faults)
    if column.pattern is not None:
        faults.add(_mismatches(values, column.pattern), "pattern", f"does not match {column.pattern}")
    if column.allowed_values is not None:
        given, allowed = values, column.allowed_values
        if pa.types.is_floating(values.type):  # by their bits, -0 is not among 0
            given, allowed = (pc.add(floats, pa.scalar(0.0, values.type)) for floats in (values, allowed))
        known = pc.is_in(given, value_set=allowed).to_numpy(zero_copy_only=False)
        words = ", ".join(map(str, column.allowed or []))
        faults.add(~known & ~null_mask(values), "allowed", f"not one of {words}")


def _mismatches(values: pa.Array, pattern: str) -> np.ndarray:
    """Which values the pattern does not match as a whole; where few texts come again and again, each is tried once."""
    whole = rf"\A(?:{pattern})\z"
    sample = values.slice(0, 1024)
    if len(values) > len(sample) and len(sample.unique()) < 64:
        texts = values.unique()
        wrong = texts.filter(pc.invert(pc.match_substring_regex(texts, whole)))
        known = pc.is_in(values, value_set=wrong) if len(wrong) else None
        return np.zeros(len(values), dtype=bool) if known is None else or_false(known)
    return or_false(pc.invert(pc.match_substring_regex(values, whole)))


def _check_bound(values: pa.Array, rule: str, bound: pa.Scalar, faults: Faults) -> None:
    beyond, word = (pc.less, "less") if rule == "min" else (pc.greater, "more")
    floats = pa.types.is_floating(values.type)
    if not floats:
        extreme = pc.min_max(values)[rule]
        if not extreme.is_valid or not beyond(extreme, bound).as_py():
            return
    wrong = or_false(beyond(values, bound))
    if floats:
        wrong |= or_false(pc.is_nan(values))
    faults.add(wrong, rule, f"{word} than {bound}")


def _check_length(values: pa.Array, column: Column, faults: Faults) -> None:
    limits = [limit for limit in (column.sql_type.length, column.max_length) if limit is not None]
    if not limits and column.min_length is None:
        return
    unit = "bytes" if column.sql_type.kind == "bytea" else "characters"
    if column.min_length is None and extents(values)[1].max() <= min(limits):
        return  # no text has more characters than bytes
    lengths = pc.binary_length(values) if unit == "bytes" else pc.utf8_length(values)
    if limits:
        faults.add(or_false(pc.greater(lengths, min(limits))), "length", f"longer than {min(limits)} {unit}")
    if column.min_length is not None:
        short = or_false(pc.less(lengths, column.min_length))
        faults.add(short, "length", f"shorter than {column.min_length} {unit}")
