"""pgloader, as its manual says: LOAD CSV into the table. It does not upsert: a row whose key is there is rejected."""

from __future__ import annotations

import os
from pathlib import Path

COLUMNS = "order_id, customer_id, placed_at, status, currency, amount, quantity, sku, email, express, ship_date, note"
COMMAND = """
LOAD CSV FROM '{file}' ({fields})
INTO {dsn}?tablename=orders ({columns})
WITH skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote, fields terminated by ','
SET timezone TO 'UTC';
"""


def main() -> None:
    """Become pgloader."""
    work = Path(os.environ["BENCH_WORK"]) / "pgloader"
    work.mkdir(exist_ok=True)
    script = work / "orders.load"
    fields = COLUMNS
    for name in ("email", "ship_date", "note"):
        fields = fields.replace(name, f"{name} [null if blanks]")
    script.touch(mode=0o600)
    script.write_text(
        COMMAND.format(file=os.environ["BENCH_FILE"], fields=fields, columns=COLUMNS, dsn=os.environ["BENCH_DSN"])
    )
    os.execvp("pgloader", ["pgloader", "--root-dir", str(work), str(script)])


if __name__ == "__main__":
    main()
