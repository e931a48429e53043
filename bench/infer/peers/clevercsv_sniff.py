"""Sniffs the files that stdin names, one a line; a line of JSON for each."""

import json
import sys
from pathlib import Path

import clevercsv

for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            text = file.read(200_000)
        dialect = clevercsv.Detector().detect(text)
        header = clevercsv.Detector().has_header(text[:50_000])
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = [row for row in clevercsv.reader(file, dialect) if row]
        widths = [len(row) for row in rows]
        columns = max(set(widths), key=widths.count) if widths else 0
        told = {
            "delimiter": dialect.delimiter, "quote": dialect.quotechar, "header": bool(header),
            "rows": len(rows) - bool(header), "columns": columns,
        }  # fmt: skip
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"[:200]}
    print(json.dumps(told), flush=True)
