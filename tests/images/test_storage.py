"""From $MILLRACE_IMAGES and an Airflow Connection to a store; and object storages of any kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from include.images import objects
from include.images.limits import LIMITS
from include.images.objects import Objects, ObjectStore
from include.images.store import Name, NotStored, StoreAway, StoreFull
from tests.images.places import KEYS, s3

S3FS_PUT_BYTES = 100 << 20  # over this s3fs uploads in parts, and leaves them when it breaks
DIGEST = "ab" + 62 * "0"
PROGRAM = """
import json, os, sys
from pathlib import Path
from include.bridge import images
from include.images import tidy, work
from include.images.upload import sweep
from include.images.store import Name

heavy = {"s3fs", "botocore", "aiobotocore", "aiohttp"}
answers = {"early": sorted(heavy & set(sys.modules))}
store = images.store()
answers["made"] = sorted(heavy & set(sys.modules))
file = store.scratch() / "fresh"
file.write_bytes(b"picture")
store.keep_renditions({Name(sys.argv[1], "recipe", "a.jpg"): file})
answers["read"] = store.read_rendition(sys.argv[1], "recipe", "a.jpg", 2, 3).decode()
answers["scratch"] = str(store.scratch())
answers["inbox"] = [found.place for found in sweep.files(images.inbox())]
answers["folders"] = [str(images.folder(name)) for name in ("/a b", "file:///a%20b", "s3://x@bucket/y")]
for name in ("nobody", "odd"):
    try:
        images.folder(f"s3://{name}@bucket/x").entries()
    except Exception as fault:
        answers[name] = f"{type(fault).__name__}: {fault}"
print(json.dumps(answers))
"""


def test_an_airflow_connection_leads_to_the_store(endpoint: str, fresh_bucket: str, tmp_path: Path) -> None:
    s3(endpoint).pipe_file(f"{fresh_bucket}/in/one.jpg", b"x")
    extra = {"endpoint_url": endpoint, "region_name": "eu-central-1"}
    found = {"conn_type": "aws", "login": KEYS[0], "password": KEYS[1], "extra": extra}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "TMPDIR": str(tmp_path),
        "MILLRACE_IMAGES": f"s3://pictures@{fresh_bucket}/some/where",
        "MILLRACE_IMAGES_INBOX": f"s3://pictures@{fresh_bucket}/in",
        "AIRFLOW_CONN_PICTURES": json.dumps(found),
        "AIRFLOW_CONN_ODD": json.dumps({**found, "extra": {**extra, "role_arn": "arn"}}),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, DIGEST], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["early"] == answers["made"] == [], "what does not use a bucket does not pay for it"
    assert answers["read"] == "ctu"
    assert answers["scratch"] == str(tmp_path / f"millrace-images-{os.getuid()}")
    assert (tmp_path / f"millrace-images-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    assert answers["inbox"] == [f"s3://pictures@{fresh_bucket}/in/one.jpg"]
    assert answers["folders"] == ["/a b", "/a b", "s3://x@bucket/y"]
    assert answers["nobody"].startswith("StoreAway: s3://nobody@bucket/x can't be used: The conn_id `nobody`")
    assert "role_arn of connection odd: install apache-airflow-providers-amazon[s3fs]" in answers["odd"]
    assert s3(endpoint).cat_file(f"{fresh_bucket}/some/where/rendition/ab/{DIGEST}/recipe/a.jpg") == b"picture"


def test_every_file_is_stored_by_one_put() -> None:
    assert max(LIMITS.file_bytes, LIMITS.rendition_bytes) < S3FS_PUT_BYTES


def test_any_file_system_of_fsspec_will_do(tmp_path: Path) -> None:
    fs = MemoryFileSystem()
    store = ObjectStore(Objects("memory://pictures/here", lambda: (fs, "pictures/here")), tmp_path / "scratch")
    fs.mkdir("pictures")
    file = store.scratch() / "fresh"
    file.write_bytes(b"picture")
    store.keep_renditions({Name(DIGEST, "recipe", "a.jpg"): file})
    store.keep_source(file, DIGEST)
    assert store.has_source(DIGEST)
    assert store.read_rendition(DIGEST, "recipe", "a.jpg", 4, 99) == b"ure"
    assert [entry.key for entry in store.objects.entries()] == [
        f"rendition/ab/{DIGEST}/recipe/a.jpg", f"source/ab/{DIGEST}",
    ]  # fmt: skip
    store.drop(DIGEST)
    store.drop(DIGEST)
    assert store.objects.entries() == []
    assert not store.has_source(DIGEST)
    with pytest.raises(NotStored):
        store.read_rendition(DIGEST, "recipe", "a.jpg", 0, 9)


@pytest.mark.parametrize(("fault", "told"), [
    (OSError(28, "No space left on device"), StoreFull), (PermissionError("Forbidden"), StoreAway),
    (TimeoutError(), StoreAway), (RuntimeError("no such thing as an OSError"), StoreAway),
    (FileNotFoundError("bucket"), StoreAway),
], ids=range(5))  # fmt: skip
def test_faults_of_file_systems_are_told_as_ours(fault: Exception, told: type[Exception], tmp_path: Path) -> None:
    class Broken(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
        def get_file(self, *_: Any, **__: Any) -> None:
            raise fault

    place = Objects("memory://nowhere", lambda: (Broken(skip_instance_cache=True), "no-bucket/x"))
    with pytest.raises(told):
        place.get("key", tmp_path / "file")


def test_puts_at_once_hold_so_much_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = [0], [0]
    lock = threading.Lock()

    class Slow(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
        def put_file(self, lpath: str, *_: Any, **__: Any) -> None:
            size = Path(lpath).stat().st_size
            with lock:
                under_way[0] += size
                most[0] = max(most[0], under_way[0])
            time.sleep(0.02)
            with lock:
                under_way[0] -= size

    monkeypatch.setattr(objects, "PUT_BYTES", 100)
    place = Objects("memory://here", lambda: (Slow(skip_instance_cache=True), "here"))
    files = []
    for number, size in enumerate([30] * 12 + [250]):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(bytes(size))
    threads = [threading.Thread(target=place.put, args=(file, file.name)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert under_way == [0]
    assert most == [250], "the large one went alone"
