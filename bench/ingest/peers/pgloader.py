"""pgloader, as its manual says: LOAD CSV into the table. It does not upsert: a row whose key is there is rejected."""

from __future__ import annotations

import json
import os
from pathlib import Path

COLUMNS = ", ".join(json.loads(os.environ["BENCH_TYPES"]))
COMMAND = """
LOAD CSV FROM '{file}' ({fields})
INTO {dsn}?tablename=orders ({columns})
WITH skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote, fields terminated by ','
SET timezone TO 'UTC';
"""

if __name__ == "__main__":
    script, fields = Path(os.environ["BENCH_WORK"]) / "orders.load", COLUMNS
    for name in ("email", "ship_date", "note"):
        fields = fields.replace(name, f"{name} [null if blanks]")
    script.touch(mode=0o600)
    file, dsn = os.environ["BENCH_FILE"], os.environ["BENCH_DSN"]
    script.write_text(COMMAND.format(file=file, fields=fields, columns=COLUMNS, dsn=dsn))
    os.execvp("pgloader", ["pgloader", "--root-dir", str(script.parent), str(script)])
