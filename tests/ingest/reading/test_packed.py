"""Files packed by gzip and zstd: the same rows, rejected rows and account as of the plain file."""

from __future__ import annotations

import errno
import gzip
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from include.ingest.errors import IngestError, ScratchFull, SourceDamaged, UnpackedTooLarge
from include.ingest.ledger import Account
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan, read_plan
from include.ingest.run import run
from include.ingest.source import packed
from include.ingest.source.local import LocalFile
from include.ingest.source.packed import Limit
from include.ingest.source.storage import Storage
from tests.ingest.loading import DAY, counts, known, make_dataset, rejected, rows, staging_tables
from tests.ingest.reading.packing import PACKINGS, bgzf, zstd

NEXT = DAY + timedelta(days=1)
LINES = [f'{number},"label\n{number}, {random.Random(number).random()}",{number % 97}' for number in range(3000)]
TEXT = "\n".join(["id,label,price", *LINES, "7,again,1", "x,bad,1", "9000,low,-1", ""]).encode()
SMALL = b"id,label,price\n1,another,1\n"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """Has a scratch folder of its own, in which no run may leave anything but locks."""
    scratch = tmp_path / "scratch"
    yield Storage(scratch)
    assert [file.name for file in scratch.glob("*")] == []


def ingest(
    connection: psycopg.Connection, folder: Path, storage: Storage, name: str, data: bytes, **changes: Any
) -> Account:
    """Ingest these bytes as a file of that name."""
    version = changes.pop("version", DAY)
    file = folder / name
    file.write_bytes(data)
    dataset = make_dataset(folder, **{"chunk_bytes": 50_000, "block_bytes": 4096, **changes})
    return run(connection, dataset, Order(uuid4(), file, version, storage=storage))


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_file_is_as_the_plain_one(
    warehouse: psycopg.Connection, tmp_path: Path, storage: Storage, packing: str
) -> None:
    plain = ingest(warehouse, tmp_path, storage, "plain.csv", TEXT)
    wanted, expected = rows(warehouse), [counts(plain), rejected(warehouse, plain)]
    places = "SELECT byte_offset, raw FROM millrace.rejected_row WHERE run_id = %s ORDER BY 1"
    where = warehouse.execute(places, [plain.run_id]).fetchall()
    warehouse.execute("DROP TABLE items; DELETE FROM millrace.ingest_run")
    account = ingest(warehouse, tmp_path, storage, "items.csv.packed", PACKINGS[packing](TEXT))
    assert [counts(account), rejected(warehouse, account)] == expected
    assert warehouse.execute(places, [account.run_id]).fetchall() == where, "offsets are those of the plain text"
    assert rows(warehouse) == wanted
    assert (account.file, account.bytes, account.chunks) == (
        str(tmp_path / "items.csv.packed"),
        len(TEXT),
        plain.chunks,
    )
    again = ingest(warehouse, tmp_path, storage, "again.csv", TEXT)
    assert again.status == "skipped", "the same text, however it is packed, is in already"
    assert staging_tables(warehouse) == []


def test_a_packed_file_builds_on_the_last_one(warehouse: psycopg.Connection, tmp_path: Path, storage: Storage) -> None:
    ingest(warehouse, tmp_path, storage, "first.csv.gz", gzip.compress(TEXT))
    today = TEXT.replace(b"again", b"once more") + b"9001,new,1\n"
    account = ingest(warehouse, tmp_path, storage, "second.csv.zst", zstd(today), version=NEXT)
    assert counts(account) == {
        "read": 3004, "inserted": 1, "updated": 1, "unchanged": 2999, "superseded": 1, "rejected": 2,
    }  # fmt: skip
    assert known(warehouse, account) > 2900
    (tmp_path / "second.csv.zst").unlink()
    tomorrow = gzip.compress(today + b"9002,new,1\n")
    later = ingest(warehouse, tmp_path, storage, "third.csv.gz", tomorrow, version=NEXT + timedelta(days=1))
    assert known(warehouse, later) == 0, "the last file is gone"


@pytest.mark.parametrize("packing", ["gzip", "gzip members", "bgzf", "zstd", "zstd frames", "zstd stream"])
def test_a_file_that_is_cut_short(
    warehouse: psycopg.Connection, tmp_path: Path, storage: Storage, packing: str
) -> None:
    data = PACKINGS[packing](TEXT)
    for kept in (7, 19, len(data) // 3, len(data) - 9, len(data) - 1):
        with pytest.raises(SourceDamaged, match=r"cut\.csv\.gz is damaged: .* of [\d,]+, .*Deliver it once more"):
            ingest(warehouse, tmp_path, storage, "cut.csv.gz", data[:kept])
    assert warehouse.execute("SELECT to_regclass('items')").fetchone() == (None,)
    assert staging_tables(warehouse) == []


@pytest.mark.parametrize("packing", ["gzip", "bgzf", "zstd"])
def test_every_cut_is_noticed(tmp_path: Path, packing: str) -> None:
    text = TEXT[:700]
    data = PACKINGS[packing](text)
    file = tmp_path / "cut"
    for kept in range(6, len(data)):
        file.write_bytes(data[:kept])
        with pytest.raises(SourceDamaged):
            _unpack(file, tmp_path)
    file.write_bytes(data)
    assert _unpack(file, tmp_path) == text


def test_the_end_mark_of_bgzip_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "cut"
    file.write_bytes(bgzf(TEXT, end=b""))
    with pytest.raises(SourceDamaged, match="end mark"):
        _unpack(file, tmp_path)


@pytest.mark.parametrize("packing", ["gzip", "bgzf"])
def test_a_changed_byte_is_noticed(tmp_path: Path, packing: str) -> None:
    data = bytearray(PACKINGS[packing](TEXT))
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 1
        file = tmp_path / "changed"
        file.write_bytes(data)
        with pytest.raises(SourceDamaged):
            _unpack(file, tmp_path)
        data[place] ^= 1


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_what_follows_the_text_is_an_error(tmp_path: Path, packing: str) -> None:
    file = tmp_path / "longer"
    file.write_bytes(PACKINGS[packing](TEXT) + b"garbage, more of it")
    with pytest.raises(SourceDamaged, match="near byte"):
        _unpack(file, tmp_path)


def test_other_packings_are_named(warehouse: psycopg.Connection, tmp_path: Path, storage: Storage) -> None:
    with pytest.raises(SourceDamaged, match="is zip, which is not read: deliver it uncompressed, or comp"):
        ingest(warehouse, tmp_path, storage, "items.csv", b"PK\x03\x04" + bytes(100))


@pytest.mark.parametrize("packing", ["gzip", "bgzf", "zstd"])
def test_a_bomb_is_stopped(warehouse: psycopg.Connection, tmp_path: Path, storage: Storage, packing: str) -> None:
    bomb = PACKINGS[packing](b"id,label,price\n" + bytes(80 << 20))
    with pytest.raises(UnpackedTooLarge, match=r"300 times its own size \(unpack_limit\.ratio\).*raise the limit"):
        ingest(warehouse, tmp_path, storage, "bomb.csv.gz", bomb)
    limit = {"unpack_limit": {"bytes": 1000, "ratio": None}}
    dataset = make_dataset(tmp_path)
    dataset = dataset.model_copy(update={"unpack_limit": type(dataset.unpack_limit)(**limit["unpack_limit"])})
    file = tmp_path / "small.csv.gz"
    file.write_bytes(PACKINGS[packing](TEXT))
    with pytest.raises(UnpackedTooLarge, match=r"more than 1,000 bytes \(unpack_limit\.bytes\)"):
        run(warehouse, dataset, Order(uuid4(), file, DAY, storage=storage))


def test_a_full_scratch_folder_is_named(
    warehouse: psycopg.Connection, tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packed.Unpacked, "_write", full)
    with pytest.raises(ScratchFull, match=r"scratch has no room for .*items\.csv\.gz unpacked.*MILLRACE_SCRATCH"):
        ingest(warehouse, tmp_path, storage, "items.csv.gz", gzip.compress(TEXT))


def test_another_machine_unpacks_for_itself(warehouse: psycopg.Connection, tmp_path: Path, storage: Storage) -> None:
    file, dataset = tmp_path / "items.csv.gz", make_dataset(tmp_path, chunk_bytes=50_000)
    file.write_bytes(gzip.compress(TEXT))
    run_id = uuid4()
    plan(warehouse, dataset, Order(run_id, file, DAY, storage=storage))
    other = Storage(tmp_path / "other")
    for number, chunk in enumerate(read_plan(warehouse, run_id, other).chunks):
        where = other if number % 2 else storage
        load_chunk(warehouse, dataset, read_plan(warehouse, run_id, where), chunk)
    account = merge(warehouse, dataset, read_plan(warehouse, run_id, storage))
    assert counts(account) == {"read": 3003, "inserted": 3000, "superseded": 1, "rejected": 2}
    assert [file.suffix for file in sorted((tmp_path / "other").iterdir())] == ["", ".lock"]
    ingest(warehouse, tmp_path, other, "small.csv", SMALL, version=NEXT)
    assert list((tmp_path / "other").iterdir()) == [], "the next load there has removed it, as the run is done"


def test_a_load_leaves_alone_what_other_runs_have_unpacked(
    warehouse: psycopg.Connection, tmp_path: Path, storage: Storage
) -> None:
    file, dataset = tmp_path / "items.csv.gz", make_dataset(tmp_path)
    file.write_bytes(gzip.compress(TEXT))
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY, storage=storage))
    ingest(warehouse, tmp_path, storage, "small.csv", SMALL, version=NEXT)
    assert storage.unpacked() == {planned.run_id}
    storage.forget(planned.run_id)


def test_a_packed_file_that_is_replaced_is_noticed(
    warehouse: psycopg.Connection, tmp_path: Path, storage: Storage
) -> None:
    file, dataset = tmp_path / "items.csv.gz", make_dataset(tmp_path)
    file.write_bytes(gzip.compress(TEXT))
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY, storage=storage))
    file.write_bytes(gzip.compress(TEXT + b"1,a,1\n"))
    with pytest.raises(IngestError, match="changed since it was planned"):
        load_chunk(warehouse, dataset, planned, planned.chunks[0])
    storage.forget(planned.run_id)


def test_many_readers_unpack_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "items.csv.gz"
    file.write_bytes(gzip.compress(TEXT))
    written, write = [], packed.Unpacked._write

    def noted(self: packed.Unpacked, part: Path) -> None:
        written.append(part)
        write(self, part)

    monkeypatch.setattr(packed.Unpacked, "_write", noted)
    found: list[bytes] = []
    readers = [threading.Thread(target=lambda: found.append(_unpack(file, tmp_path, "same"))) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert found == [TEXT] * 6
    assert len(written) == 1


def test_what_dead_runs_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "dead.part").touch()
    file = tmp_path / "items.csv.gz"
    file.write_bytes(gzip.compress(TEXT))
    _unpack(file, scratch)
    assert (scratch / "dead.part").exists()
    monkeypatch.setattr(packed, "LEFTOVER_SECONDS", -60)
    _unpack(file, scratch)
    assert not (scratch / "dead.part").exists()


def _unpack(file: Path, folder: Path, name: str | None = None) -> bytes:
    """The text of a packed file."""
    stored = LocalFile(file)
    unpack = packed.packing_of(stored)
    assert unpack is not None
    with packed.Unpacked(stored, unpack, folder / (name or uuid4().hex), Limit()).open() as opened:
        return opened.read(0, opened.size)
