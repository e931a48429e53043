"""An orders file as a shop would export it: quotes, quoted newlines, repeated keys and, if asked, bad rows.

`python -m samples.orders OUT.csv --mb 200` writes one. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

COLUMNS = (
    "order_id",
    "customer_id",
    "placed_at",
    "status",
    "currency",
    "amount",
    "quantity",
    "sku",
    "email",
    "express",
    "ship_date",
    "note",
)
STATUSES = ("new", "paid", "packed", "shipped", "returned", "cancelled")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK")
NOTES = (
    "",
    "",
    "",
    "leave at the door",
    '"please call before you come, the bell is broken"',
    '"gift wrapping, with a card: ""Happy birthday"""',
    '"second floor\nleft door\nmind the dog"',
    '"fragile, handle with care"',
    '"deliver between nine and five, not on Friday afternoon"',
)
FIRST_DAY = np.datetime64("2026-01-01T00:00:00", "s")
BLOCK_ROWS = 100_000
BYTES_PER_ROW = 137.0  # measured; used to turn a size into a number of rows


@dataclass(frozen=True)
class Shape:
    """What the file holds. Ratios are shares of all rows, between 0 and 1."""

    rows: int
    seed: int = 1
    first_id: int = 1
    duplicates: float = 0.02
    bad: float = 0.001
    changed: float = 0.0
    new: float = 0.0


def rows_for(size_bytes: float) -> int:
    """The number of rows that make a file of about `size_bytes` bytes."""
    return max(1, round(size_bytes / BYTES_PER_ROW))


def write(out: IO[bytes], shape: Shape) -> dict[str, int]:
    """Write the file and return what it holds: rows, duplicates, bad and bytes.

    `changed` rewrites that share of the rows of the file with the same seed and no change;
    `new` appends that share of rows with unseen keys. Both make a second day's file.
    """
    total = {"rows": 0, "duplicates": 0, "bad": 0, "bytes": 0}
    total["bytes"] += out.write((",".join(COLUMNS) + "\n").encode())
    for lines, duplicates, bad in _blocks(shape):
        total["rows"] += len(lines)
        total["duplicates"] += duplicates
        total["bad"] += bad
        total["bytes"] += out.write(("\n".join(lines) + "\n").encode())
    return total


def _blocks(shape: Shape) -> Iterator[tuple[list[str], int, int]]:
    rows = shape.rows + round(shape.rows * shape.new)
    for start in range(0, rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, rows - start)
        yield _block(shape, start, count)


def _block(shape: Shape, start: int, count: int) -> tuple[list[str], int, int]:
    random = np.random.default_rng([shape.seed, start])
    ids = np.arange(shape.first_id + start, shape.first_id + start + count, dtype=np.int64)
    repeats = random.random(count) < shape.duplicates
    if start == 0:
        repeats[0] = False
    # A repeated key is a correction of any earlier order, so it is far away from the first one.
    ids[repeats] = shape.first_id + (random.random(int(repeats.sum())) * (start + np.flatnonzero(repeats))).astype(
        np.int64
    )
    cells = {
        "customer_id": random.integers(1, 2_000_000, count),
        "seconds": random.integers(0, 300 * 86_400, count),
        "status": random.integers(0, len(STATUSES), count),
        "currency": random.integers(0, len(CURRENCIES), count),
        "cents": random.integers(100, 5_000_000, count),
        "quantity": random.integers(1, 100, count),
        "sku": random.integers(0, 10**8, count),
        "note": random.integers(0, len(NOTES), count),
        "ship": random.integers(0, 30, count),
    }
    bad = random.random(count) < shape.bad
    kinds = random.integers(0, len(_SPOIL), count)
    changed = np.random.default_rng([shape.seed, start, 1]).random(count) < shape.changed
    cells["cents"] = np.where(changed, cells["cents"] + 1, cells["cents"])
    placed = FIRST_DAY + cells["seconds"].astype("timedelta64[s]")
    shipped = placed.astype("datetime64[D]") + cells["ship"].astype("timedelta64[D]")
    stamps = np.datetime_as_string(placed)
    days = np.datetime_as_string(shipped)
    lines = [
        f"{i},{c},{stamp}Z,{STATUSES[s]},{CURRENCIES[u]},{a // 100}.{a % 100:02d},{q},SKU-{k:08d},"
        f"customer{c}@example.com,{'true' if q > 90 else 'false'},{day if s > 2 else ''},{NOTES[n]}"
        for i, c, stamp, s, u, a, q, k, day, n in zip(
            ids.tolist(),
            cells["customer_id"].tolist(),
            stamps.tolist(),
            cells["status"].tolist(),
            cells["currency"].tolist(),
            cells["cents"].tolist(),
            cells["quantity"].tolist(),
            cells["sku"].tolist(),
            days.tolist(),
            cells["note"].tolist(),
            strict=True,
        )
    ]
    for index in np.flatnonzero(bad).tolist():
        lines[index] = _SPOIL[kinds[index]](lines[index])
    return lines, int((repeats & ~bad).sum()), int(bad.sum())


def _replace(position: int, value: str):  # type: ignore[no-untyped-def]
    def spoil(line: str) -> str:
        head = line.split(",", position + 1)
        head[position] = value
        return ",".join(head)

    return spoil


_SPOIL = (
    _replace(1, "twelve"),
    _replace(2, "2026-02-31T10:00:00Z"),
    _replace(3, "lost"),
    _replace(5, "12.5.0"),
    _replace(6, "-1"),
    _replace(6, "99999999999"),
    _replace(5, "12345678901234.00"),
    lambda line: line + ",surplus",
    lambda line: line.split(",", 3)[0] + ",1",
)


def main() -> None:
    """Write a file and print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mb", type=float, default=200.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-id", type=int, default=1)
    parser.add_argument("--duplicates", type=float, default=0.02)
    parser.add_argument("--bad", type=float, default=0.001)
    parser.add_argument("--changed", type=float, default=0.0)
    parser.add_argument("--new", type=float, default=0.0)
    args = parser.parse_args()
    shape = Shape(rows_for(args.mb * 1e6), args.seed, args.first_id, args.duplicates, args.bad, args.changed, args.new)
    with args.out.open("wb") as out:
        print(write(out, shape))


if __name__ == "__main__":
    main()
