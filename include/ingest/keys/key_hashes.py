"""Hashes of the key columns: the cheap way to tell keys apart.

Two kinds. `hash_keys` gives 64 bits that only ever pick candidates, which are then compared exactly. `held_hashes`
gives what the ledger keeps of a key, and there decides alone: the key itself where it fits into 64 bits, else 128 bits
of XXH3, seeded with a secret of the target, so that nobody can prepare two keys that look like one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.sql_types import INTEGERS, TEXTS, SqlType

EXACT, HASHED = np.dtype(np.uint64), np.dtype("S16")
SHORT_PRECISION = 18  # digits of a numeric whose unscaled value fits into 64 bits
LONG_KINDS = (*TEXTS, "uuid", "bytea")
NAN_BITS = 0x7FF8 << 48

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def hash_keys(table: pa.Table, key: Sequence[str]) -> np.ndarray:
    """One uint64 a row of `table`. Key columns hold no null; equal keys have equal hashes in every process."""
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name in key:
        total = _mixed(total * _MIX + _words(table[name].combine_chunks()))
    return total


def hash_integers(values: np.ndarray) -> np.ndarray:
    """What `hash_keys` gives for a key of one integer column, from its values (int64). No two values share a hash."""
    return _mixed(values.view(np.uint64))


def held_kind(dataset: Dataset) -> np.dtype:
    """What the ledger keeps of each key: EXACT, or HASHED where the key does not fit into 64 bits."""
    return EXACT if len(dataset.key) == 1 and _fits(dataset.columns[dataset.key[0]].sql_type) else HASHED


def held_hashes(table: pa.Table, dataset: Dataset, secret: bytes) -> np.ndarray:
    """What the ledger keeps of the rows' keys, of `held_kind`, whatever order the key columns are listed in."""
    if held_kind(dataset) == EXACT:
        return hash_keys(table, dataset.key)
    cells = _joined([table[name].combine_chunks() for name in sorted(dataset.key)])
    seed = int.from_bytes(secret[:8], "little")
    digests = b"".join(xxhash.xxh3_128_digest(secret + cell, seed) for cell in cells.to_pylist())
    return np.frombuffer(digests, HASHED)


def key_shape(dataset: Dataset) -> str:
    """Names the key columns and their kinds: what `held_hashes` gives can be compared where this is equal."""
    kinds = {name: dataset.columns[name].sql_type for name in sorted(dataset.key)}
    return ", ".join(f"{name} {_shape(kind)}" for name, kind in kinds.items())


def _fits(kind: SqlType) -> bool:
    return kind.kind not in LONG_KINDS and not (kind.kind == "numeric" and (kind.precision or 0) > SHORT_PRECISION)


def _shape(kind: SqlType) -> str:
    if kind.kind == "numeric":
        return f"numeric {'short' if _fits(kind) else 'long'} {kind.scale}"
    return "integer" if kind.kind in INTEGERS else "text" if kind.kind in TEXTS else kind.kind


def _mixed(words: np.ndarray) -> np.ndarray:
    """A bijection: an odd factor and shifts."""
    words = (words ^ (words >> _SHIFT)) * _MIX
    mixed: np.ndarray = words ^ (words >> _SHIFT)
    return mixed


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    """The bytes of each row's cells, each behind its length, so that no two rows share them."""
    parts = []
    for array in columns:
        cells = _bytes(array)
        lengths = np.asarray(pc.binary_length(cells)).astype(np.int64)
        parts += [pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(cells), [None, pa.py_buffer(lengths)]), cells]
    if len(columns) == 1:
        return parts[1]
    binary = [part.cast(pa.binary()) for part in parts]
    return pc.binary_join_element_wise(*binary, pa.scalar(b"", pa.binary()))


def _bytes(array: pa.Array) -> pa.Array:
    """The values as binary: texts as they are, others by their words."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.binary())
    if pa.types.is_decimal(kind):
        data = pa.py_buffer(_halves(array).tobytes())
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(array), [None, data]).cast(pa.binary())
    data = pa.py_buffer(_words(array).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(array), [None, data]).cast(pa.binary())


def _halves(array: pa.Array) -> np.ndarray:
    """The words (uint64, two a value) of decimals or uuids."""
    width = array.type.byte_width // 8
    words: np.ndarray = np.frombuffer(array.buffers()[1], dtype=np.uint64).reshape(-1, width)
    return words[array.offset : array.offset + len(array)]


def _words(array: pa.Array) -> np.ndarray:
    """A 64-bit word a value; exact for types of up to 64 bits, and for numerics of up to 18 digits."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.asarray(array.cast(pa.int8())).astype(np.uint64)
    if pa.types.is_floating(kind):
        return _float_words(np.asarray(array, dtype=np.float64))
    if pa.types.is_decimal(kind) and kind.precision <= SHORT_PRECISION:
        low: np.ndarray = _halves(array)[:, 0].copy()
        return low
    if pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        words = _halves(array)
        total: np.ndarray = _mixed(words[:, 0]) + words[:, 1]
        return total
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        hashed = map(xxhash.xxh3_64_intdigest, array.cast(pa.binary()).to_pylist())
        return np.fromiter(hashed, dtype=np.uint64, count=len(array))
    width = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}[kind.bit_width // 8]
    values = np.frombuffer(array.buffers()[1], dtype=width)[array.offset : array.offset + len(array)]
    return values.astype(np.int64).view(np.uint64)


def _float_words(values: np.ndarray) -> np.ndarray:
    """As PostgreSQL compares: -0.0 equals 0.0, and every NaN equals every other."""
    words: np.ndarray = (values + 0.0).view(np.uint64)
    nan = np.isnan(values)
    return np.where(nan, np.uint64(NAN_BITS), words) if nan.any() else words
