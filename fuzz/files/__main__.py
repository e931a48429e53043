"""Judges every CSV file below a folder: `python -m fuzz.files FOLDER`. Prints what differs; exit code 1 then."""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fuzz.files.case import Case, Form, Sizes
from fuzz.files.judge import FilesJudge, open_judge
from fuzz.files.python import rows_of
from stack import databases
from stack.ports import free_port
from stack.postgres import PostgresServer

MOST_BYTES = 4 << 20
MOST_FIELDS = 200
SIZES = [Sizes(), Sizes(chunk=997, block=61, segment=1 << 16)]


def cases_of(file: Path) -> Iterator[Case]:
    """The file by a likely dialect, without its header, whatever the dataset would name."""
    data = file.read_bytes()
    if not data or len(data) > MOST_BYTES:
        return
    encoding = "utf-8" if _is_utf8(data) else "latin-1"
    try:
        found = csv.Sniffer().sniff(data[:8192].decode("latin-1"), ",;\t|")
        delimiter, quote = found.delimiter, found.quotechar if found.quotechar in ('"', "'") else '"'
    except csv.Error:
        delimiter, quote = "\t" if file.suffix == ".tsv" else ",", '"'
    form = Form((), delimiter, quote, None, header=False, encoding=encoding)
    counts = Counter(len(cells) for _, cells in rows_of(data, form)[0])
    fields = counts.most_common(1)[0][0] if counts else 1
    if fields <= MOST_FIELDS:
        for sizes in SIZES:
            yield Case(data, form._replace(columns=tuple(f"c{number}" for number in range(fields))), sizes)


def judge_folder(judge: FilesJudge, folder: Path) -> tuple[int, Counter[str], int]:
    """How many files were judged, what is explained, and how many differ."""
    judged, differ, explained = 0, 0, Counter[str]()
    for file in sorted(file for file in folder.rglob("*") if file.suffix in (".csv", ".tsv") and file.is_file()):
        cases = list(cases_of(file))
        judged += bool(cases)
        for case in cases:
            said = judge.judge(case, explained if case.sizes == SIZES[0] else Counter())
            if said:
                differ += 1
                print(f"{file} {case.form} {case.sizes}\n{said[:2000]}")
                break
    return judged, explained, differ


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def main(folder: Path) -> int:
    """Judge a folder on a server of its own."""
    place = Path(tempfile.mkdtemp(prefix="millrace-fuzz-"))
    server = PostgresServer(place / "data", free_port(), {"fsync": "off"})
    server.start()
    try:
        databases.prepare(server.dsn(), {"airflow": "airflow", "ingest": "ingest"})
        judge = open_judge(server.dsn(), place)
        judged, explained, differ = judge_folder(judge, folder)
        judge.close()
    finally:
        server.destroy()
        shutil.rmtree(place)
    print(f"{judged} files judged, {differ} differ; explained: {dict(explained)}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
