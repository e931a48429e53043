"""Which places $MILLRACE_ROOTS lets a run read, whatever a path is dressed up as."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from uuid import uuid4

import pytest

from include.ingest.errors import IngestError, SourceDamaged, SourceMissing, SourceRefused, StorageAway
from include.ingest.infer.command import look
from include.ingest.source.remote import RemoteFile
from include.ingest.source.storage import Storage, connect
from include.roots import Roots, roots

SECRET = "root:x:0:0:secret"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An inbox with a file, beside a folder that is none of its business."""
    (tmp_path / "beyond").mkdir()
    (tmp_path / "beyond" / "secret.csv").write_text(SECRET)
    (tmp_path / "inbox" / "in").mkdir(parents=True)
    (tmp_path / "inbox" / "in" / "good.csv").write_text("id\n1\n")
    return tmp_path / "inbox"


@pytest.fixture
def storage(inbox: Path, tmp_path: Path) -> Storage:
    """What a task of a strict deployment has."""
    return Storage(tmp_path / "scratch", connect, roots({"MILLRACE_INBOX": str(inbox)}))


LINKS = {"link.csv": "../beyond/secret.csv", "folder": "../beyond", "of_proc.csv": "/proc/self/environ"}
BEYOND = [
    "{beyond}/secret.csv", "{beyond}/none.csv", "{beyond}", "{beyond}/", "{beyond}/*.csv",
    "{inbox}/../beyond/secret.csv",
    "{inbox}/in/../../beyond/secret.csv", "{inbox}/*/../../beyond/secret.csv", "{inbox}/*/../../beyond/*.csv",
    "{inbox}/link.csv", "{inbox}/folder/secret.csv", "{inbox}/folder", "{inbox}/folder/*.csv",
    "{inbox}/fold*/secret.csv",
    "{inbox}/l*.csv", "{inbox}", "{inbox}/of_proc.csv", "file://{beyond}/secret.csv", "file://{beyond}",
    "file://{inbox}/%2E%2E/beyond/secret.csv", "file://{inbox}/link.csv", "file://{inbox}/folder",
    "file://host/{beyond}/secret.csv", "FILE://{beyond}/secret.csv", "file:{beyond}/secret.csv", "local://{beyond}/secret.csv",
    "/etc/passwd", "/proc/self/environ", "/proc/self/root/etc/passwd", "/proc/1/root{inbox}/in/../../beyond/secret.csv",
    "/dev/stdin", "{inbox}x/good.csv", "{inbox}\0/good.csv", "relative.csv", "", "~/x.csv",
    "http://127.0.0.1:1/latest", "https://169.254.169.254/latest", "github://a:b@main/x.csv", "memory://x.csv",
    "data://x", "s3://bucket/key.csv", "s3a://bucket/key.csv", "s3://connection@bucket/key", "s3://connection@bucket/*",
    "simplecache::file://{beyond}/secret.csv", "zip://x.csv::file://{beyond}/secret.csv", "filecache::s3://bucket/x",
]  # fmt: skip


@pytest.mark.parametrize("place", BEYOND)
def test_what_lies_beyond_is_refused_by_every_door(place: str, inbox: Path, storage: Storage) -> None:
    for name, target in LINKS.items():
        (inbox / name).symlink_to(target)
    path = place.format(inbox=inbox, beyond=inbox.parent / "beyond")
    with pytest.raises(SourceRefused, match="lies outside the places that runs may read") as told:
        storage.files(path)
    assert "secret" not in str(told.value).replace(path, "").replace("secret.csv", "")
    assert f"places that runs may read: {inbox}" in str(told.value)
    assert "MILLRACE_ROOTS" in str(told.value)
    if "*" in path or path in (str(inbox), str(inbox / "folder")):
        return  # a pattern or a folder is no file
    for door in (lambda: storage.stored(path).mark(), lambda: storage.stored(path).open().__enter__(),
                 lambda: look(path, storage=storage)):  # fmt: skip
        with pytest.raises(SourceRefused):
            door()


@pytest.mark.parametrize(
    "place",
    ["{inbox}/in/good.csv", "{inbox}/in", "{inbox}/in/", "{inbox}/*/*.csv", "{inbox}/in/../in/good.csv",
     "file://{inbox}/in/good.csv", "file://{inbox}/in", "{inbox}/within.csv"],
)  # fmt: skip
def test_what_lies_within_is_read(place: str, inbox: Path, storage: Storage) -> None:
    (inbox / "within.csv").symlink_to("in/good.csv")
    ((path, mark),) = storage.files(place.format(inbox=inbox))
    with storage.stored(path).open() as opened:
        assert opened.read(0, mark.size) == b"id\n1\n"


def test_what_is_not_there_is_missing_within_and_refused_beyond(inbox: Path, storage: Storage) -> None:
    for path in (f"{inbox}/none.csv", f"{inbox}/*.none", f"{inbox}/none/none.csv"):
        with pytest.raises(SourceMissing):
            storage.files(path)
    said = set()
    for name in ("secret.csv", "nothing.csv"):
        with pytest.raises(SourceRefused) as told:
            storage.files(f"{inbox.parent}/beyond/{name}")
        said.add(str(told.value).replace(name, ""))
    assert len(said) == 1, "whether a file is there can't be asked"


LEADS = {"file.csv": "../beyond/{name}", "of_folder": "../beyond", "deep/file.csv": "../../beyond/{name}"}


@pytest.mark.parametrize("pattern", [
    "{inbox}/*.csv", "{inbox}/f*", "{inbox}/of_*/{name}", "{inbox}/*/{name}", "{inbox}/of_f?lder/s*.csv",
    "{inbox}/**/f*.csv", "{inbox}/[d]eep/file.csv", "{inbox}/d*/../of_folder/{name}", "{inbox}", "{inbox}/deep", "file://{inbox}/deep",
])  # fmt: skip
def test_a_pattern_over_a_link_does_not_tell_what_is_there(pattern: str, inbox: Path, storage: Storage) -> None:
    (inbox / "deep").mkdir()
    said = set()
    for name in ("secret.csv", "nothing.csv"):
        for link, target in LEADS.items():
            (inbox / link).unlink(missing_ok=True)
            (inbox / link).symlink_to(target.format(name=name))
        with pytest.raises(SourceRefused) as told:
            storage.files(pattern.format(inbox=inbox, name=name))
        said.add(str(told.value).replace(name, ""))
    assert len(said) == 1


def test_links_that_a_pattern_does_not_mean_are_passed_over(inbox: Path, storage: Storage) -> None:
    (inbox / "of_folder").symlink_to("../beyond")
    (inbox / "in" / ".hidden.csv").symlink_to("../../beyond/secret.csv")
    (inbox / "within").symlink_to("in")
    for pattern in ("in/*.csv", "in/*", "i*/*.csv", "in", "w*/*.csv", "**/good.csv"):
        (found,) = storage.files(f"{inbox}/{pattern}")
        assert found[0].endswith("/good.csv")


def test_a_root_that_is_a_link_is_where_it_leads(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(inbox)
    storage = Storage(None, connect, roots({"MILLRACE_INBOX": str(tmp_path / "mounted")}))
    for path in (tmp_path / "mounted" / "in" / "good.csv", inbox / "in" / "good.csv"):
        storage.files(str(path))


@pytest.mark.parametrize("swap", ["link", "folder", "pipe"])
def test_a_file_is_judged_once_it_is_open(swap: str, inbox: Path, storage: Storage, tmp_path: Path) -> None:
    """Looked at, then replaced: what was planned is not what is opened."""
    file = inbox / "in" / "good.csv"
    stored = storage.stored(str(file))
    stored.mark()
    if swap == "folder":
        (inbox / "in").rename(inbox / "away")
        (tmp_path / "beyond" / "good.csv").write_text(SECRET)
        (inbox / "in").symlink_to("../beyond")
    else:
        file.unlink()
        file.symlink_to(tmp_path / "beyond" / "secret.csv") if swap == "link" else os.mkfifo(file)
    with pytest.raises(SourceDamaged if swap == "pipe" else SourceRefused), stored.open():
        pass


def test_a_packed_file_is_judged_as_a_plain_one(inbox: Path, storage: Storage, tmp_path: Path) -> None:
    packed, beyond = inbox / "a.csv.gz", tmp_path / "beyond" / "a.csv.gz"
    beyond.write_bytes(gzip.compress(SECRET.encode()))
    packed.write_bytes(gzip.compress(b"id\n1\n"))
    with storage.text(packed, storage.stored(packed).mark(), uuid4()).open() as opened:
        assert opened.read(0, 5) == b"id\n1\n", "the scratch folder is no root, and is ours"
    packed.unlink()
    packed.symlink_to(beyond)
    with pytest.raises(SourceRefused), storage.text(packed, storage.stored(beyond).mark(), uuid4()).open():
        pass


def test_the_system_is_no_data_whatever_is_listed() -> None:
    everything = Roots((Path("/"),))
    assert everything.refusal("/etc/hostname") is None
    for path in ("/proc/self/environ", "/proc/self/root/proc/1/cmdline", "/sys/kernel/x"):
        assert everything.refusal(path), path


LISTED = roots({
    "MILLRACE_INBOX": "/in", "MILLRACE_IMAGES_INBOX": "s3://pictures@bucket/in",
    "MILLRACE_ROOTS": " /srv/a b , s3://storage@deliveries/2026/,s3://archive@\nhttps://data.example.org/exports,file:///x%20y",
})  # fmt: skip


@pytest.mark.parametrize("place", [
    "/in/a", "/srv/a b/c.csv", "/x y/z", "s3://pictures@bucket/in/a.png", "s3://storage@deliveries/2026/a.csv",
    "s3://storage@deliveries/2026", "s3://storage@deliveries/2026/*/a.csv", "s3a://storage@deliveries/2026/a.csv", "s3://archive@any/thing.csv",
    "https://data.example.org/exports/a.csv?day=1",
])  # fmt: skip
def test_what_is_listed(place: str) -> None:
    assert LISTED.refusal(place) is None


@pytest.mark.parametrize("place", [
    "/srv/a", "/srv", "/x", "s3://storage@deliveries/20260101.csv",
    "s3://storage@deliveries/2026x/a.csv", "s3://storage@deliveries/2026*/a.csv", "s3://storage@deliveries/",
    "s3://storage@deliver*/2026/a.csv", "s3://other@deliveries/2026/a.csv", "s3://deliveries/2026/a.csv",
    "s3://storage@deliveries/2026/../2025/a.csv", "s3://storage@deliveries/2026/./a", "s3://storage@deliveries@x/2026/a",
    "s3://x@storage@deliveries/2026/a", "s3://archive/thing.csv", "s3://archive@x@y/thing.csv",
    "http://data.example.org/exports/a.csv", "https://data.example.org/exports/%2e%2E/secret.csv",
    "https://data.example.org/exports/..%2fsecret", "https://data.example.org/exports\\..\\..\\x",
    "https://data.example.org/exports/..\\x", "https://data.example.org/exportsx", "https://x@data.example.org/exports/a",
    "https://data.example.org@evil.example/exports/a", "https://data.example.org.evil/exports/a",
    "https://data.example.org/exports/a::file:///etc/passwd", "https://data.example.org/exports/a\n/../b",
    " https://data.example.org/exports/a", "https://data.example.org/exports/.\t./a", "*", "s3://",
])  # fmt: skip
def test_what_only_looks_like_it(place: str) -> None:
    assert LISTED.refusal(place)


def test_anything_only_where_it_is_listed(tmp_path: Path) -> None:
    anything = roots({"MILLRACE_ROOTS": "*"})
    for place in ("/etc/passwd", "/proc/self/environ", "s3://a/b", "http://x", "file:///etc"):
        assert anything.refusal(place) is None
    assert roots({"MILLRACE_ROOTS": "/a*"}).refusal("/etc/passwd")
    (tmp_path / "a").write_text("x")
    with Storage(None, connect, anything).stored(tmp_path / "a").open() as opened:
        assert opened.size == 1


def test_the_command_line_is_its_users_own(inbox: Path) -> None:
    (inbox / "link.csv").symlink_to("../beyond/secret.csv")
    for path in (f"{inbox}/link.csv", f"{inbox.parent}/beyond/secret.csv"):
        assert len(Storage().files(path)) == 1


@pytest.mark.parametrize("url", ["memoree://x/y.csv", "nothing://x/", "nothing://x/*.csv"])
def test_a_scheme_that_nobody_knows_is_tried_once(url: str) -> None:
    with pytest.raises(SourceRefused, match=r"can't be (reached|listed): ") as told:
        Storage().files(url)
    assert told.value.retryable is False


def test_a_storage_that_is_away_is_tried_again() -> None:
    def away(url: str) -> tuple[object, str]:
        raise OSError("connection refused")

    with pytest.raises(StorageAway) as told:
        RemoteFile("s3://x/y", away).mark()
    assert isinstance(told.value, IngestError)
    assert told.value.retryable
