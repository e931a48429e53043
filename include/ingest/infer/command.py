"""`python -m include.ingest init FILE`: reads a file and writes a dataset file for it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from include.ingest.errors import IngestError, SourceMissing, StorageAway
from include.ingest.infer import names
from include.ingest.infer.said import MARKS, NOTHING, ORDERS, Said, columns_in
from include.ingest.source.storage import Storage, connect, place_of, scratch_of

if TYPE_CHECKING:
    from include.ingest.infer.inspect import Found


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the ingest."""
    command = kinds.add_parser("init", help="read a file, and write a dataset file for it")
    command.add_argument("file", help="the CSV file, or its URL (https://, s3://); also compressed with gzip or zstd")
    command.add_argument("--name", help="the dataset's name (default: the file's, without dates)")
    command.add_argument("--key", default="", metavar="COLUMN[,COLUMN]", help="the columns that identify a row")
    command.add_argument(
        "--dates",
        choices=[f"{first}-first" for first in ORDERS],
        metavar="FIRST",
        help="how dates are read that can be read both ways: day-first, month-first or year-first",
    )
    command.add_argument(
        "--decimal-mark", choices=MARKS, metavar="MARK", help="of numbers that can be read both ways: . or ,"
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE.yaml",
        help="where to write it (default: NAME.yaml in $MILLRACE_DATASETS, or here)",
    )
    command.add_argument("--force", action="store_true", help="even if that file exists, which is overwritten")


def run(options: argparse.Namespace) -> int:
    """Write the dataset file and say what it is about. 0: nothing is in doubt or to be rejected, or it is said; 1: the
    file can't be read; 2: the dataset file exists, or the name is none.
    """
    output = options.output
    name = options.name or (output.stem if output else names.dataset_name(options.file))
    if not names.NAME.fullmatch(name):
        print(
            f"--name: {name} is no name of a dataset: a to z, digits and _, up to 41, a letter first", file=sys.stderr
        )
        return 2
    output = output or _folder() / f"{name}.yaml"
    if output.exists() and not options.force:
        print(f"{output} exists: give --force to overwrite it, or --name or --output for another", file=sys.stderr)
        return 2
    from include.ingest.infer import compose  # its compiled loops take a moment to load

    try:
        found = look(options.file, _said(options))
        text = compose.compose(found, name, names.source_of(options.file), Path(options.file).name)
        _write(output, text)
    except IngestError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options.file}: {error.strerror or error}", file=sys.stderr)
        return 1
    _tell(found, output)
    return 0


def _said(options: argparse.Namespace) -> Said:
    order = ORDERS[options.dates.removesuffix("-first")] if options.dates else ""
    return Said(columns_in(options.key), order, options.decimal_mark or "")


def _folder() -> Path:
    """The first folder of dataset files; where none is named, the current one."""
    return Path((os.environ.get("MILLRACE_DATASETS") or ".").split(os.pathsep)[0] or ".")


def look(file: str, said: Said = NOTHING, threads: int | None = None, storage: Storage | None = None) -> Found:
    """What is found in a file, or in what a URL means."""
    from include.ingest.infer.inspect import inspect

    storage, run_id = storage or Storage(scratch_of(os.environ)), uuid4()
    storage.check(file)
    if file.startswith(("http://", "https://")):
        with _downloaded(file) as copy:
            return look(str(copy), said, threads, replace(storage, roots=None))
    place = place_of(file)
    path = str(place.resolve()) if isinstance(place, Path) else place
    try:
        mark = storage.stored(path).mark()
        return inspect(storage.text(path, mark, run_id), said, threads)
    finally:
        storage.forget(run_id)


@contextmanager
def _downloaded(url: str) -> Iterator[Path]:
    """A copy of what a URL answers, for as long as it is needed: not every server gives it by ranges."""
    scratch = scratch_of(os.environ)
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="millrace-init-", dir=scratch) as folder:
        copy = Path(folder) / "file"
        try:
            system, name = connect(url)
            system.get_file(name, str(copy))
        except Exception as error:  # each library that fsspec uses has its own
            reason = " ".join(str(error).split()) or type(error).__name__
            kind = SourceMissing if isinstance(error, FileNotFoundError) else StorageAway
            raise kind(f"{url} can't be read: {reason}") from error
        yield copy


def _write(output: Path, text: str) -> None:
    """Write the whole file or none."""
    part = output.with_name(f".{output.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _tell(found: Found, output: Path) -> None:
    from include.ingest.infer import compose

    key = ", ".join(found.names[number] for number in found.key.columns)
    said = f"key: {key}" if key else "no key: mode append"
    print(f"{output}: {found.rows:,} rows, {len(found.columns):,} columns, {said}")
    for doubt in compose.doubts_of(found):
        print(f"ambiguous: {doubt}")
    for warning in compose.warnings_of(found):
        print(f"rejected: {warning}")
    if not found.key.columns:
        for remark in found.key.remarks:
            print(f"key: {remark}")
