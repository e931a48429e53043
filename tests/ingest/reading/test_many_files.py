"""Many files as one run: a folder, a pattern, a prefix; which file wins, and how faults are named."""

from __future__ import annotations

import gzip
import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.csv.records import RecordTooLong
from include.ingest.errors import HeaderMismatch, SourceChanged, SourceDamaged, SourceMissing
from include.ingest.ledger import Account
from include.ingest.load import load_chunk
from include.ingest.plan import Order, plan
from include.ingest.run import run
from include.ingest.source.storage import Storage
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, known, make_dataset, rows, staging_tables
from tests.ingest.reading.packing import PACKINGS
from tests.ingest.reading.test_remote import Bucket, bucket  # noqa: F401  a fixture

NEXT = DAY + timedelta(days=1)
Files = dict[str, str | bytes]


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def ingest(connection: psycopg.Connection, folder: Path, path: str | Path, **changes: Any) -> Account:
    version, force = changes.pop("version", DAY), changes.pop("force", False)
    storage = Storage(folder / "scratch")
    account = run(connection, make_dataset(folder, **changes), Order(uuid4(), path, version, force, storage=storage))
    assert not list((folder / "scratch").glob("*"))
    return account


def rejected(connection: psycopg.Connection, account: Account) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT file, line_number, byte_offset, reason FROM millrace.rejected_row WHERE run_id = %s ORDER BY 1, 2",
        [account.run_id],
    ).fetchall()


@pytest.mark.parametrize("chunk_bytes", [1, 40, 1 << 20])
@pytest.mark.parametrize("path", ["in", "in/*.csv*", "in/"])
def test_files_are_one_run_and_the_later_file_wins(
    warehouse: psycopg.Connection, tmp_path: Path, path: str, chunk_bytes: int
) -> None:
    folder = write(tmp_path / "in", {
        "b.csv": HEADER + "1,b,1\n2,b,2\nx,bad,1\n3,b,3",
        "a.csv.gz": gzip.compress((HEADER + '1,"a\n",1\n4,a,4\n5,a,-1\n').encode()),
        "c.csv": HEADER,
        "e.csv.zst": PACKINGS["zstd"]((HEADER + "\n2,e,2\n6,e,6\ny,bad,1\n").encode()),
        ".hidden.csv": "nonsense",
        "_SUCCESS": "",
    })  # fmt: skip
    account = ingest(warehouse, tmp_path, f"{tmp_path}/{path}", chunk_bytes=chunk_bytes)
    assert counts(account) == {"read": 10, "inserted": 5, "superseded": 2, "rejected": 3}
    assert rows(warehouse, "id, label") == [(1, "b"), (2, "e"), (3, "b"), (4, "a"), (6, "e")]
    found = [(Path(file).name, line, offset) for file, line, offset, _ in rejected(warehouse, account)]
    assert found == [("a.csv.gz", 5, 30), ("b.csv", 4, 27), ("e.csv.zst", 5, 28)]
    assert all(Path(file).parent == folder for file, *_ in rejected(warehouse, account))
    assert account.file == f"{tmp_path}/{path}"
    assert account.chunks == {1: 10, 40: 3}.get(chunk_bytes, 1)
    assert staging_tables(warehouse) == []


def test_small_files_share_a_chunk(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {f"{number:03}.csv": f"{HEADER}{number},a,1\n" for number in range(300)})
    account = ingest(warehouse, tmp_path, folder, parallel=2)
    assert (account.inserted, account.chunks) == (300, 1)
    assert rows(warehouse, "count(*)") == [(300,)]


@pytest.mark.parametrize("policy", ["last", "first", "reject"])
def test_repeated_keys_across_files(warehouse: psycopg.Connection, tmp_path: Path, policy: str) -> None:
    folder = write(tmp_path / "in", {"a.csv": HEADER + "1,a,1\n2,a,1\n", "b.csv": HEADER + "3,b,1\n1,b,1\n"})
    account = ingest(warehouse, tmp_path, folder, duplicates=policy)
    if policy == "reject":
        assert rows(warehouse, "id, label") == [(2, "a"), (3, "b")]
        assert [(Path(file).name, line, reason) for file, line, _, reason in rejected(warehouse, account)] == [
            ("a.csv", 2, f"the key is first at line 2 of {folder}/a.csv"),
            ("b.csv", 3, f"the key is first at line 2 of {folder}/a.csv"),
        ]
    else:
        assert rows(warehouse, "id, label") == [(1, {"last": "b", "first": "a"}[policy]), (2, "a"), (3, "b")]


@pytest.mark.parametrize("seed", range(6))
def test_the_outcome_is_that_of_one_file(warehouse: psycopg.Connection, tmp_path: Path, seed: int) -> None:
    """However the records are shared among files and chunks, on both days."""
    chance = random.Random(seed)
    other = ITEMS.replace("public.items", "public.others")
    lines = [f'{number},"l\n{number}",{number}\n' for number in range(120)]
    for day in range(3):
        for _ in range(12):
            place = chance.randrange(len(lines))
            lines.insert(place, f"{chance.randrange(150)},{chance.choice(['new', 'again'])} {day},1\n")
            lines[chance.randrange(len(lines))] = chance.choice(["x,bad,1\n", f"{chance.randrange(200)},c {day},2\n"])
        cuts = sorted(chance.sample(range(len(lines) + 1), chance.randrange(1, 9)))
        parts = [lines[low:high] for low, high in zip([0, *cuts], [*cuts, None], strict=True)]
        files: Files = {}
        for number, part in enumerate(parts):
            text = (HEADER + "".join(part)).encode()
            files[f"{number}.csv"] = chance.choice([bytes, gzip.compress, PACKINGS["zstd"]])(text)
        changes: dict[str, Any] = {
            "chunk_bytes": chance.choice([1, 200, 10**6]), "block_bytes": 256, "version": DAY + timedelta(days=day),
            "duplicates": chance.choice(["last", "first"]),
        }  # fmt: skip
        many = ingest(warehouse, tmp_path, write(tmp_path / f"day{day}", files), **changes)
        whole = tmp_path / "whole.csv"
        whole.write_text(HEADER + "".join(lines))
        storage = Storage(tmp_path / "scratch")
        version = changes.pop("version")
        dataset = make_dataset(tmp_path, other, **changes)
        one = run(warehouse, dataset, Order(uuid4(), whole, version, storage=storage))
        assert counts(many) == counts(one)
        everything = "id, label, price, source_version"
        assert rows(warehouse, everything) == rows(warehouse, everything, "others")
        texts = "SELECT raw FROM millrace.rejected_row WHERE run_id = %s ORDER BY 1"
        bad = [warehouse.execute(texts, [account.run_id]).fetchall() for account in (many, one)]
        assert bad[0] == bad[1]


def test_the_same_files_are_skipped_confirmed_and_built_upon(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    files: Files = {f"{n}.csv": HEADER + "".join(f"{n}{i:03},l,1\n" for i in range(200)) + "x,,\n" for n in "123"}
    first = write(tmp_path / "first", files)
    ingest(warehouse, tmp_path, first)
    assert ingest(warehouse, tmp_path, first).status == "skipped"
    moved = write(tmp_path / "moved", files)
    forced = ingest(warehouse, tmp_path, moved, force=True)
    assert (counts(forced), len(rejected(warehouse, forced))) == ({"read": 603, "unchanged": 600, "rejected": 3}, 3)
    assert {Path(file).parent for file, *_ in rejected(warehouse, forced)} == {moved}
    files["2.csv"] = str(files["2.csv"]).replace("2007,l", "2007,new")
    account = ingest(warehouse, tmp_path, write(tmp_path / "next", files), version=NEXT)
    assert counts(account) == {"read": 603, "updated": 1, "unchanged": 599, "rejected": 3}
    assert known(warehouse, account) == 599
    write(tmp_path / "next", {"3.csv": HEADER})
    last = write(tmp_path / "last", {**files, "4.csv": HEADER + "4000,l,1\n"})
    later = ingest(warehouse, tmp_path, last, version=NEXT + timedelta(days=1))
    assert (counts(later)["inserted"], known(warehouse, later)) == (1, 0)


def test_faults_name_the_file(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    good = {"a.csv": HEADER + "1,a,1\n"}
    with pytest.raises(SourceMissing, match=r"none/\*\.csv: no file is there"):
        ingest(warehouse, tmp_path, tmp_path / "none" / "*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceMissing):
        ingest(warehouse, tmp_path, tmp_path / "empty")
    with pytest.raises(HeaderMismatch, match=r"b\.csv:1: the header lacks label, price"):
        ingest(warehouse, tmp_path, write(tmp_path / "1", {**good, "b.csv": "id\n1\n"}))
    with pytest.raises(HeaderMismatch, match=r"b\.csv:1: its columns do not stand as in .*a\.csv"):
        ingest(warehouse, tmp_path, write(tmp_path / "2", {**good, "b.csv": "label,id,price\na,1,1\n"}))
    with pytest.raises(SourceDamaged, match=r"b\.csv is damaged"):
        ingest(warehouse, tmp_path, write(tmp_path / "3", {**good, "b.csv": gzip.compress(b"a" * 1000)[:-4]}))
    folder = write(tmp_path / "4", {**good, "b.csv": HEADER + '1,a,1\n2,"' + "x" * (65 << 20) + '"\n'})
    with pytest.raises(RecordTooLong, match=r"b\.csv:3: the record at byte 21 is longer"):
        ingest(warehouse, tmp_path, folder)


def test_a_file_that_comes_or_goes_is_noticed(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.csv": HEADER + "1,a,1\n", "b.csv": HEADER + "2,a,1\n"})
    dataset = make_dataset(tmp_path)
    planned = plan(warehouse, dataset, Order(uuid4(), folder / "*.csv", DAY))
    write(folder, {"c.csv": HEADER + "3,a,1\n"})
    with pytest.raises(SourceChanged, match=r"c\.csv changed since it was planned \(no to 21 bytes\)"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])
    (folder / "c.csv").unlink()
    (folder / "b.csv").unlink()
    with pytest.raises(SourceChanged, match=r"b\.csv changed since it was planned \(21 to no bytes\)"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])


@pytest.mark.parametrize("pattern", ["in/", "in/*.csv", "i?/[ab].csv*", "in/**/*.csv"])
def test_a_prefix_of_a_bucket(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket, pattern: str  # noqa: F811
) -> None:  # fmt: skip
    bucket.put("in/b.csv", (HEADER + "1,b,1\nx,bad,1\n").encode())
    bucket.put("in/a.csv", gzip.compress((HEADER + "1,a,1\n2,a,1\n").encode()))
    bucket.put("in/_SUCCESS", b"")
    url = f"s3://{bucket.name}/{pattern}"
    account = bucket.ingest(warehouse, tmp_path, url)
    assert counts(account) == {"read": 4, "inserted": 2, "superseded": 1, "rejected": 1}
    assert rows(warehouse, "id, label") == [(1, "b"), (2, "a")]
    assert rejected(warehouse, account)[0][:3] == (f"s3://{bucket.name}/in/b.csv", 3, 21)
    dataset = make_dataset(tmp_path)
    bucket.put("in/b.csv", (HEADER + "3,b,1\n").encode())
    planned = plan(warehouse, dataset, Order(uuid4(), url, NEXT, storage=bucket.storage))
    bucket.put("in/b.csv", (HEADER + "4,b,1\n").encode())
    with pytest.raises(SourceChanged, match=r"in/b\.csv changed since"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])
    bucket.storage.forget(planned.run_id)
    with pytest.raises(SourceMissing):
        bucket.ingest(warehouse, tmp_path, f"s3://{bucket.name}/none/*.csv")


@pytest.mark.parametrize("pattern", [
    "*", "*.csv", "*/*.csv", "**/*.csv", "**/x/*", "a/**/*.csv", "**/a/**/*.csv", "?/*", "[ab]/x/*.csv", "[[]a[]]/*",
    "a/x/1.c*", "a/../*/1.csv", "*/x/1.csv", "A/*", "n*/*.csv", ".*/*", "link/*", "l*/*.csv", "*/none.csv",
    "**/x/1.csv", "1.csv/*", "a/x/1.csv/**/*", "circle/*", "c*/*",
])  # fmt: skip
def test_a_pattern_means_what_pathlib_says(pattern: str, tmp_path: Path) -> None:
    places = ("", "a/", "a/x/", "a/x/y/", "b/x/", "[a]/", ".hidden/", "none/")
    write(tmp_path, {f"{place}{name}": "" for place in places for name in ("1.csv", "2.txt", ".3.csv")})
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "dangling.csv").symlink_to("nothing")
    (tmp_path / "circle").symlink_to("circle")
    wanted = sorted({str(file) for file in tmp_path.glob(pattern) if file.is_file() and not file.name.startswith(".")})
    try:
        found = [path for path, _ in Storage().files(f"{tmp_path}/{pattern}")]
    except SourceMissing:
        found = []
    assert found == wanted
