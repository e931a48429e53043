"""PostgreSQL as the judge of a dataset file that `init` wrote: the file that it was written for must go in by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from include.ingest.dataset_file import load_dataset
from include.ingest.infer.command import look
from include.ingest.infer.compose import announced, compose
from include.ingest.infer.inspect import Found
from include.ingest.ledger import Account
from tests.ingest.loading import ingest


class Judged(NamedTuple):
    """What was found, what was written, and what came of it."""

    found: Found
    text: str
    account: Account


def judge(warehouse: psycopg.Connection[Any], folder: Path, data: bytes, name: str = "judged") -> Judged:
    """Write a dataset file for a file with these bytes, and ingest the file by it."""
    file = folder / f"{name}.csv"
    file.write_bytes(data)
    found = look(str(file))
    text = compose(found, name, "{{ inbox }}/x.csv", file.name)
    (folder / f"{name}.yaml").write_text(text)
    dataset = load_dataset(folder / f"{name}.yaml")
    dataset = dataset.model_copy(update={"reject_limit": dataset.reject_limit.model_copy(update={"ratio": None})})
    account = ingest(warehouse, dataset, data, folder)
    return Judged(found, text, account)


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
