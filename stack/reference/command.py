"""Writes the pages of `docs/reference/`, or says which differ from what it would write."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

import psycopg

from include.warehouse import migrate
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

FOLDER = REPOSITORY / "docs" / "reference"


def run(stack: ArgumentParser, *, check: bool) -> int:
    """Write all pages; with `check`, only compare: 1 when one is stale. `stack` is the parser of `./run`."""
    stale = 0
    for name, text in pages(stack).items():
        file = FOLDER / name
        before = file.read_text() if file.exists() else ""
        if before == text:
            continue
        if not check:
            file.write_text(text)
            print(f"run: wrote {file.relative_to(REPOSITORY)}", file=sys.stderr)
            continue
        stale = 1
        lines = difflib.unified_diff(
            before.splitlines(), text.splitlines(), str(file), "as the code has it", lineterm=""
        )
        print(*lines, sep="\n")
    if stale:
        print("run: docs/reference/ is stale: ./run docs writes it", file=sys.stderr)
    return stale


def pages(stack: ArgumentParser) -> dict[str, str]:
    """Each page by its file's name. Needs a PostgreSQL of its own for some seconds, and nothing of a stack."""
    with tempfile.TemporaryDirectory(prefix="millrace-docs-") as folder:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MILLRACE"))]:
            del os.environ[name]
        # Before Airflow is imported, which reads and makes its home then.
        os.environ |= {"AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "MILLRACE_MEMORY_AGENT": "off"}
        from stack.reference import commands, dags, datasets, metrics, recipes, routes, settings, tables

        found = {
            "commands.md": commands.write(stack),
            "datasets.md": datasets.write(),
            "recipes.md": recipes.write(),
            "dags.md": dags.write(),
            "http.md": routes.write(),
            "settings.md": settings.write(),
        }
        server = PostgresServer(Path(folder) / "postgres", None, {"fsync": "off"})
        try:
            server.start()
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                migrate.apply(connection)
                found |= {"tables.md": tables.write(connection), "metrics.md": metrics.write(connection)}
        finally:
            server.destroy()
    return found
