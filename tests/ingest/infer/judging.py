"""PostgreSQL as the judge of a dataset file that `init` wrote: the file that it was written for must go in by it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import yaml

from include.ingest.dataset_file import load_dataset
from include.ingest.infer.command import look
from include.ingest.infer.compose import announced, compose
from include.ingest.infer.inspect import Found
from include.ingest.ledger import Account
from tests.ingest.loading import ingest

# Fields of `csv` for files that are no plain table.
LAYOUT = ("skip_lines", "footer_lines", "comment")


class Judged(NamedTuple):
    """What was found, what was written, and what came of it."""

    found: Found
    text: str
    account: Account


def judge(warehouse: psycopg.Connection[Any], folder: Path, data: bytes, name: str = "judged") -> Judged:
    """Write a dataset file for a file with these bytes, and ingest the file by it."""
    file = folder / f"{name}.csv"
    file.write_bytes(data)
    found = look(str(file), [])
    text = compose(found, name, "{{ inbox }}/x.csv", file.name)
    (folder / f"{name}.yaml").write_text(_plain(text))
    dataset = load_dataset(folder / f"{name}.yaml")
    dataset = dataset.model_copy(update={"reject_limit": dataset.reject_limit.model_copy(update={"ratio": None})})
    account = ingest(warehouse, dataset, _table(data, yaml.safe_load(text)["csv"], found), folder)
    return Judged(found, text, account)


def _plain(text: str) -> str:
    """The dataset without what tells where the table stands, which is cut out beforehand."""
    for field in LAYOUT:
        text = re.sub(rf"(, |(?<={{)){field}: (\"[^\"]*\"|[^,}}]+)", "", text)
    return text


def _table(data: bytes, csv: dict[str, Any], found: Found) -> bytes:
    """The bytes of the table alone, by what was written."""
    lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", data.removeprefix(b"\xef\xbb\xbf"))
    records = [number for number, line in enumerate(lines) if line.strip(b"\r\n")]
    footer = csv.get("footer_lines", 0)
    end = records[-footer] if footer else len(lines)
    lines = lines[csv.get("skip_lines", 0) : end]
    if "comment" in csv:
        lines = [line for line in lines if not line.startswith(csv["comment"].encode())]
    return b"".join(lines)


def problems(judged: Judged) -> list[str]:
    """What an ingest by that dataset does otherwise than was announced; none is right."""
    account, found = judged.account, judged.found
    said = []
    if account.rejected > announced(found):
        said.append(f"{account.rejected} rows were rejected, {announced(found)} announced")
    if account.read != found.rows + int(found.profile.tally.widths[1:3].sum()) * (not found.layout.fill):
        said.append(f"{account.read} rows were read, {found.rows} found")
    if found.key.columns and account.superseded:
        said.append(f"{account.superseded} rows repeat a key that was found to be unique")
    return said
