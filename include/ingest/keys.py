"""64-bit hashes of the key columns: the cheap way to notice that two chunks hold the same key.

Equal keys have equal hashes in every process. Unequal keys may collide, so a hash only ever picks candidates
that are then compared exactly.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import xxhash

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def hash_keys(table: pa.Table, key: list[str]) -> np.ndarray:
    """One uint64 a row of `table`. Key columns hold no null."""
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name in key:
        total = _mixed(total * _MIX + _words(table[name].combine_chunks()))
    return total


def hash_integers(values: np.ndarray) -> np.ndarray:
    """What `hash_keys` gives for a key of one integer column, from its values (int64)."""
    return _mixed(values.view(np.uint64))


def _mixed(words: np.ndarray) -> np.ndarray:
    words = (words ^ (words >> _SHIFT)) * _MIX
    mixed: np.ndarray = words ^ (words >> _SHIFT)
    return mixed


def _words(array: pa.Array) -> np.ndarray:
    """A 64-bit word a value; exact for types of up to 64 bits."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.asarray(array.cast(pa.int8())).astype(np.uint64)
    if pa.types.is_floating(kind):
        floats = np.asarray(array, dtype=np.float64) + 0.0  # -0.0 equals 0.0
        return np.where(np.isnan(floats), np.nan, floats).view(np.uint64)  # and NaN, of any bits, equals NaN
    if pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        words = np.frombuffer(array.buffers()[1], dtype=np.uint64).reshape(-1, kind.byte_width // 8)
        words = words[array.offset : array.offset + len(array)]
        return _mixed(words[:, 0]) + words[:, 1]
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        hashed = map(xxhash.xxh3_64_intdigest, array.cast(pa.binary()).to_pylist())
        return np.fromiter(hashed, dtype=np.uint64, count=len(array))
    width = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}[kind.bit_width // 8]
    values = np.frombuffer(array.buffers()[1], dtype=width)[array.offset : array.offset + len(array)]
    return values.astype(np.int64).view(np.uint64)
