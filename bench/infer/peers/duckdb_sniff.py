"""Sniffs the files that stdin names, one a line; a line of JSON for each."""

import json
import sys

import duckdb

for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        found = duckdb.sql(
            "SELECT Delimiter, Quote, HasHeader, Columns FROM sniff_csv(?, sample_size=-1)", params=[path]
        ).fetchall()[0]
        delimiter, quote, header, columns = found
        try:
            rows = duckdb.sql("SELECT count(*) FROM read_csv(?, sample_size=-1)", params=[path]).fetchall()[0][0]
        except duckdb.Error:
            rows = -1
        told = {
            "delimiter": delimiter, "quote": quote, "header": bool(header), "rows": rows, "columns": len(columns),
            "types": [column["type"].lower() for column in columns],
        }  # fmt: skip
    except duckdb.Error as error:
        told = {"error": str(error).splitlines()[0][:200]}
    print(json.dumps(told), flush=True)
