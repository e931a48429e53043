"""What an error tells of a file: its own header, and otherwise nothing of what stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from include.ingest.errors import IngestError
from tests.ingest.loading import ITEMS, ingest, make_dataset

PASSWD = "root:x:0:0:Secret Person:/root:/bin/bash\ndaemon:x:1:1:another:/usr/sbin:/sbin/nologin\n"
PEOPLE = "Secret;Person;1970-01-01\nAnna;another;1971-01-01\n"
STRICT = re.sub(r"reject_limit: .*", "reject_limit: {rows: 0, ratio: null}", ITEMS)
CONTENT = {
    "passwd": PASSWD.encode(),
    "environment": b"JWT_SECRET=Secret\0FERNET_KEY=another\0",
    "token": b"Secret\n",
    "people": PEOPLE.encode(),
    "people, latin-1": "Secret;Pers\xf6n;another\n".encode("latin-1"),
    "a row": b"x1,Secret,2.50\nx2,another,3\n",
    "long": b"Secret" * 20_000 + b"\n",
    "json": b'{"Secret": 1, "another": [2]}\n',
    "key": b"-----BEGIN PRIVATE KEY-----\nSecret\nanother\n-----END PRIVATE KEY-----\n",
}
FORMS = [
    "", "csv: {header: search}", "csv: {delimiter: ':'}", "csv: {header_lines: 2}", "csv: {encoding: cp1252}",
    "csv: {header: false}", "csv: {header: false, encoding: euc_kr}", "csv: {header: false, delimiter: ';'}",
    "unknown_columns: fail", "unknown_columns: add", "unknown_columns: rescue\nrescue_column: more",
    "missing_columns: null",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", CONTENT)
def test_no_error_quotes_what_is_no_header_of_the_dataset(
    kind: str, form: str, warehouse: psycopg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(tmp_path, f"{STRICT}{form}\n")
    with pytest.raises(IngestError) as told:
        ingest(warehouse, dataset, CONTENT[kind], tmp_path)
    reasons = [str(row) for row in warehouse.execute("SELECT reason FROM millrace.ingest_run").fetchall()]
    for said in (str(told.value), caplog.text, *reasons):
        for word in ("Secret", "another", "root:", "Pers", "1970"):
            assert word not in said.replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("header", "quoted"),
    [
        ("id,label,Secret", True), ("ID;Label;Secret", True), ("Id|Secret|label", True), ("LABEL,x,y,z,Secret", True),
        ("id label,Secret", True), ("labels,Secret", False), ("identity,Secret,prices", False), ("Secret", False),
    ],
)  # fmt: skip
def test_a_header_that_is_nearly_right_is_shown(
    header: str, quoted: bool, warehouse: psycopg.Connection, tmp_path: Path
) -> None:
    with pytest.raises(IngestError, match="the header lacks") as told:
        ingest(warehouse, make_dataset(tmp_path), f"{header}\n1,2,3\n", tmp_path)
    assert ("Secret" in str(told.value)) is quoted
