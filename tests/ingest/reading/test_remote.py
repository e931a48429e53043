"""Files in an object storage, on a real S3 server: read by ranges, the same outcome, and never a mixture."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from include.ingest.csv.scan import SEGMENT_BYTES
from include.ingest.errors import IngestError, SourceChanged, SourceDamaged, SourceMissing, StorageAway
from include.ingest.ledger import Account
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan, read_plan
from include.ingest.run import run
from include.ingest.source import read_ahead, remote
from include.ingest.source.read_ahead import Ahead
from include.ingest.source.signed_ranges import Direct
from include.ingest.source.storage import Storage
from tests.images.places import KEYS, s3
from tests.ingest.loading import DAY, counts, known, make_dataset, rejected, rows, staging_tables
from tests.ingest.reading.packing import bgzf, zstd
from tests.ingest.reading.test_packed import TEXT

NEXT = DAY + timedelta(days=1)
PART = 4000


class Bucket:
    """An empty bucket, and how a run reaches it. `ranges` are those that were fetched: (first byte, end)."""

    def __init__(self, endpoint: str, scratch: Path) -> None:
        self.fs, self.name = s3(endpoint), f"files-{secrets.token_hex(6)}"
        self.fs.mkdir(self.name)
        self.storage = Storage(scratch, self.connect)
        self.ranges: list[tuple[int, int]] = []
        self.before_fetch: Any = None

    def connect(self, url: str) -> tuple[Any, str]:
        return self.fs, url.removeprefix("s3://")

    def put(self, key: str, data: bytes) -> str:
        self.fs.pipe_file(f"{self.name}/{key}", data)
        return f"s3://{self.name}/{key}"

    def ingest(self, connection: psycopg.Connection, folder: Path, url: str, **changes: Any) -> Account:
        order = Order(uuid4(), url, changes.pop("version", DAY), changes.pop("force", False), storage=self.storage)
        dataset = make_dataset(folder, **{"chunk_bytes": 50_000, "block_bytes": 4096, **changes})
        return run(connection, dataset, order)


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(read_ahead, "PART_BYTES", PART)
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.01)
    bucket = Bucket(endpoint, tmp_path / "scratch")
    fetch = remote._fetch_s3

    def noted(fs: Any, path: str, tag: str, first: int, end: int) -> bytes:
        bucket.ranges.append((first, end))
        if bucket.before_fetch:
            bucket.before_fetch()
        return fetch(fs, path, tag, first, end)

    monkeypatch.setattr(remote, "_fetch_s3", noted)
    yield bucket
    assert not list((tmp_path / "scratch").glob("*"))


@pytest.mark.parametrize("packing", ["plain", "gzip", "bgzf", "zstd"])
def test_an_object_is_as_a_local_file(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket, packing: str
) -> None:
    local = tmp_path / "plain.csv"
    local.write_bytes(TEXT)
    plain = bucket.ingest(warehouse, tmp_path, str(local))
    wanted, expected = rows(warehouse), [counts(plain), rejected(warehouse, plain)]
    warehouse.execute("DROP TABLE items; DELETE FROM millrace.ingest_run")
    packs: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "bgzf": bgzf, "zstd": zstd}
    pack = packs[packing]
    url = bucket.put("in/März items.csv", pack(TEXT))
    account = bucket.ingest(warehouse, tmp_path, url)
    assert [counts(account), rejected(warehouse, account)] == expected
    assert rows(warehouse) == wanted
    assert (account.file, account.bytes, account.chunks) == (url, len(TEXT), plain.chunks)
    files = warehouse.execute("SELECT DISTINCT file FROM millrace.rejected_row").fetchall()
    assert files == [(url,)]
    assert bucket.ingest(warehouse, tmp_path, url).status == "skipped"
    assert staging_tables(warehouse) == []


def test_an_object_is_never_read_as_a_whole(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "PART_BYTES", 1 << 20)
    data = b"id,label,price\n" + b"".join(b"%d,%s,1\n" % (number, b"x" * 1000) for number in range(24_000))
    under_way, most, lock = 0, 0, threading.Lock()

    def count() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1

    bucket.before_fetch = count
    monkeypatch.setattr(remote, "_fetch_by_s3fs", lambda *_: pytest.fail("s3fs takes three times the CPU"))
    account = bucket.ingest(warehouse, tmp_path, bucket.put("items.csv", data), chunk_bytes=8 << 20, parallel=2)
    assert (account.inserted, account.chunks) == (24_000, 4)
    assert max(end - first for first, end in bucket.ranges) <= SEGMENT_BYTES + 2
    assert most >= 4, "ranges are in flight side by side"
    assert not (tmp_path / "scratch").exists()


def test_what_a_signed_url_does_not_say_is_left_to_s3fs(bucket: Bucket) -> None:
    path = bucket.put("items.csv", b"id\n1\n").removeprefix("s3://")
    tag = bucket.fs.info(path)["ETag"]
    assert Direct(bucket.fs, path).get(tag, 1, 4) == b"d\n1"
    assert Direct(bucket.fs, path).get('"another"', 1, 4) is None, "its error is s3fs's to explain"
    options = {**bucket.fs.storage_options, "requester_pays": True}
    assert Direct(type(bucket.fs)(**options), path).get(tag, 1, 4) is None


def test_an_object_builds_on_the_last_one(warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket) -> None:
    bucket.ingest(warehouse, tmp_path, bucket.put("first.csv", TEXT))
    today = bucket.put("second.csv", TEXT.replace(b"again", b"once more"))
    second = bucket.ingest(warehouse, tmp_path, today, version=NEXT)
    assert (counts(second)["unchanged"], known(warehouse, second) > 2900) == (2999, True)
    bucket.put("second.csv", TEXT)
    third = bucket.put("third.csv", TEXT + b"9001,new,1\n")
    later = bucket.ingest(warehouse, tmp_path, third, version=NEXT + timedelta(days=1))
    assert known(warehouse, later) == 0, "another object stands in the place of the last one"


def test_an_object_that_is_replaced_between_steps(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket
) -> None:
    dataset = make_dataset(tmp_path, chunk_bytes=50_000)
    url = bucket.put("items.csv", TEXT)
    planned = plan(warehouse, dataset, Order(uuid4(), url, DAY, storage=bucket.storage))
    bucket.put("items.csv", TEXT.replace(b"again", b"other"))
    with pytest.raises(SourceChanged, match=r"items\.csv changed since it was planned.*clear the run's `plan` task"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])
    with pytest.raises(SourceChanged, match="was replaced or removed"), planned.text.open() as opened:
        opened.read(0, 10)
    bucket.fs.rm_file(f"{bucket.name}/items.csv")
    with pytest.raises(SourceMissing):
        merge(warehouse, dataset, planned)


@pytest.mark.parametrize("data", [TEXT, gzip.compress(TEXT)], ids=["plain", "gzip"])
@pytest.mark.parametrize("after", [1, 4, 8])
def test_an_object_that_is_replaced_while_it_is_read(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket, data: bytes, after: int
) -> None:
    other = [TEXT.replace(b"again", b"other"), gzip.compress(TEXT, 1)][data != TEXT]
    url = bucket.put("items.csv", data)

    def replace() -> None:
        if len(bucket.ranges) == after:
            bucket.put("items.csv", other)

    bucket.before_fetch = replace
    with pytest.raises(SourceChanged):
        bucket.ingest(warehouse, tmp_path, url)
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,)
    assert staging_tables(warehouse) == []


def test_what_is_missing_cut_short_or_away_says_so(
    warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket
) -> None:
    with pytest.raises(SourceMissing, match=r"s3://.*/none\.csv is not there"):
        bucket.ingest(warehouse, tmp_path, f"s3://{bucket.name}/none.csv")
    with pytest.raises(StorageAway, match="nobodys-bucket"):
        bucket.ingest(warehouse, tmp_path, "s3://nobodys-bucket/none.csv")
    with pytest.raises(SourceDamaged, match=r"s3://.*/cut\.csv is damaged"):
        bucket.ingest(warehouse, tmp_path, bucket.put("cut.csv", gzip.compress(TEXT)[:-9]))
    with pytest.raises(SourceMissing, match="only objects below it"):
        bucket.ingest(warehouse, tmp_path, f"s3://{bucket.name}")
    assert StorageAway.retryable


def test_an_outage_for_a_moment_is_got_over(warehouse: psycopg.Connection, tmp_path: Path, bucket: Bucket) -> None:
    def fail() -> None:
        if len(bucket.ranges) % 5 == 0 and bucket.ranges.count(bucket.ranges[-1]) == 1:
            raise ConnectionError("reset by peer")

    bucket.before_fetch = fail
    account = bucket.ingest(warehouse, tmp_path, bucket.put("items.csv", TEXT))
    assert counts(account) == {"read": 3003, "inserted": 3000, "superseded": 1, "rejected": 2}

    def away() -> None:
        raise ConnectionError("reset by peer")

    bucket.before_fetch = away
    with pytest.raises(StorageAway, match="can't be read: reset by peer"):
        bucket.ingest(warehouse, tmp_path, bucket.put("other.csv", TEXT + b"1,a,1\n"))


def test_a_file_system_of_another_kind(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    fs = MemoryFileSystem()
    storage = Storage(tmp_path / "scratch", lambda url: (fs, url.removeprefix("memory:/")))
    dataset = make_dataset(tmp_path, chunk_bytes=50_000, block_bytes=4096)
    for name, data, version in (("a", TEXT, DAY), ("b", gzip.compress(TEXT + b"9001,new,1\n"), NEXT)):
        fs.pipe_file(f"/{name}.csv", data)
        account = run(warehouse, dataset, Order(uuid4(), f"memory://{name}.csv", version, storage=storage))
    assert (counts(account)["inserted"], known(warehouse, account) > 2900) == (1, True)
    fs.pipe_file("/c.csv", TEXT + b"9002,new,1\n")
    planned = plan(warehouse, dataset, Order(uuid4(), "memory://c.csv", NEXT, storage=storage))
    fs.pipe_file("/c.csv", TEXT)
    with pytest.raises(IngestError, match="changed since it was planned"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])
    storage.forget(planned.run_id)


def test_parts_are_fetched_once_and_in_time() -> None:
    data = bytes(range(256)) * 400
    asked: list[int] = []

    class Opened:
        size = len(data)

        def read(self, offset: int, length: int) -> bytes:
            asked.append(offset // read_ahead.PART_BYTES)
            return data[offset : offset + length]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_ahead, "PART_BYTES", 1000)
        with Ahead(Opened(), [(500, 12_345)]) as reader:  # type: ignore[arg-type]
            at = 500
            while at < 12_345:
                length = min(1700, 12_345 - at)
                assert reader.read(at, length) == data[at : at + length]
                at += 1600
        assert sorted(asked) == list(range(13)), "each part once, none beyond the span"
        asked.clear()
        with Ahead(Opened(), [(10, 20), (15_000, 15_010), (40_990, 41_010)]) as reader:  # type: ignore[arg-type]
            assert [reader.read(at, 10) for at in (10, 15_000)] == [data[10:20], data[15_000:15_010]]
            assert reader.read(40_990, 20) == data[40_990:41_010]
        assert sorted(asked) == [0, 15, 40, 41]


PROGRAM = """
import json, sys
from include.bridge import ingest
heavy = {"s3fs", "botocore", "aiobotocore", "aiohttp"}
storage = ingest.storage()
early = sorted(heavy & set(sys.modules))
stored = storage.stored(sys.argv[1])
with stored.pinned(stored.mark()).open() as opened:
    print(json.dumps([early, str(storage.scratch), opened.read(3, 5).decode()]))
"""


def test_an_airflow_connection_leads_to_the_object(bucket: Bucket, endpoint: str, tmp_path: Path) -> None:
    bucket.put("in/a b.csv", b"id,label")
    extra = {"endpoint_url": endpoint, "region_name": "eu-central-1"}
    found = {"conn_type": "aws", "login": KEYS[0], "password": KEYS[1], "extra": extra}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_FILES": json.dumps(found),
        "MILLRACE_SCRATCH": str(tmp_path / "else"),
        "MILLRACE_ROOTS": f"s3://files@{bucket.name}/in",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"s3://files@{bucket.name}/in/a b.csv"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], str(tmp_path / "else" / "ingest"), "label"]


def test_the_plan_of_an_older_version_can_be_read(warehouse: psycopg.Connection, tmp_path: Path) -> None:
    file, dataset = tmp_path / "items.csv", make_dataset(tmp_path)
    file.write_bytes(TEXT)
    run_id = uuid4()
    planned = plan(warehouse, dataset, Order(run_id, file, DAY))
    warehouse.execute(
        "UPDATE millrace.ingest_run SET plan = plan - 'mark' || jsonb_build_object('modified_ns', %s::bigint)",
        [file.stat().st_mtime_ns],
    )
    assert read_plan(warehouse, run_id) == planned
