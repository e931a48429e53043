"""An edited dataset file reaches no further than its user: no other file, code, template or larger limit."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg import Connection

from include.ingest.editor import job as jobs
from include.ingest.editor.job import Failed, answer, job_for
from tests.ingest.loading import DAY, ITEMS, ingest, make_dataset, staging_tables
from tests.ingest.page.serving import application, guards, triggers
from tests.served import served

Post = Callable[..., httpx.Response]
GOOD = "id,label,price\n1,a,1.50\n2,b,-3\n3,c,\n"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder of the stored dataset file."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    make_dataset(folder)
    return folder


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The inbox, where the file of the dataset's last run lies."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / f"items_{DAY:%Y-%m-%d}.csv").write_text(GOOD)
    monkeypatch.setenv("MILLRACE_INBOX", str(folder))
    return folder


@pytest.fixture
def post(dsn: str, warehouse: Connection[Any], stored: Path, inbox: Path, tmp_path: Path) -> Iterator[Post]:
    """POST a text to check or preview, as somebody who may do all; the dataset has run once."""
    ingest(warehouse, make_dataset(stored), next(inbox.iterdir()), tmp_path)
    with served(application(dsn, stored, guards())) as url, httpx.Client(base_url=f"{url}/millrace/ingest/") as client:
        yield lambda kind, text, **more: client.post(
            f"datasets/items/{kind}", **({"json": {"text": text}} | more), timeout=120
        )


def test_the_file_of_the_last_run_is_shown_by_the_edited_text(post: Post) -> None:
    found = post("preview", ITEMS.replace("min: 0", "min: 2")).json()
    assert found["faults"] == []
    shown = found["preview"]
    assert shown["columns"] == ["id", "label", "price"]
    assert shown["first_rows"] == [["3", "c", None]]
    assert [(rule["rule"], rule["rows"]) for rule in shown["rejects"]] == [("min", 2)]
    assert shown["database"] is None


def test_a_path_in_the_text_is_not_read(post: Post, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("id,label,price\n666,hidden,1\n")
    for source in (str(secret), "http://127.0.0.1:1/x.csv"):
        text = ITEMS.replace('"{{ inbox }}/items_{{ ds }}.csv"', f'"{source}"')
        found = post("preview", text)
        assert [row[0] for row in found.json()["preview"]["first_rows"]] == ["1", "3"]
        for body in (found.text, post("check", text).text):
            assert "hidden" not in body
            assert "root:" not in body
            assert str(secret) not in body
            assert "can't be reached" not in body


def wait_for(warehouse: Connection[Any], file: Path | str, version: datetime) -> None:
    """A run that waits for a file."""
    warehouse.execute(
        "INSERT INTO millrace.ingest_run (run_id, dataset, target, file, version, forced, status)"
        " VALUES (%s, 'items', 'public.items', %s, %s, false, 'waiting')",
        [uuid4(), str(file), version],
    )


def test_a_path_of_the_trigger_form_is_not_read(post: Post, warehouse: Connection[Any], tmp_path: Path) -> None:
    (tmp_path / "of_the_server.csv").write_text("id,label,price\n666,hidden,1\n")
    for path in (tmp_path / "of_the_server.csv", "/etc/passwd", "s3://bucket/x.csv"):
        wait_for(warehouse, path, DAY + timedelta(days=1))
    found = post("preview", ITEMS).json()["preview"]
    assert found["file"].endswith(f"/inbox/items_{DAY:%Y-%m-%d}.csv")
    assert "hidden" not in str(found)
    warehouse.execute("DELETE FROM millrace.ingest_run WHERE status = 'done'")
    assert "has read a file that its stored `source` names" in post("preview", ITEMS).json()["faults"][0]["text"]


def test_a_link_that_a_worker_lays_into_the_inbox_is_not_followed(post: Post, inbox: Path, tmp_path: Path) -> None:
    """The server of the pages has secrets that the workers have not, and they write the inbox and the ledger."""
    (tmp_path / "of_the_server.csv").write_text("id,label,price\n666,hidden,1\n")
    file = inbox / f"items_{DAY:%Y-%m-%d}.csv"
    for target in (tmp_path / "of_the_server.csv", Path("/proc/self/environ")):
        file.unlink()
        file.symlink_to(target)
        found = post("preview", ITEMS)
        assert "lies outside the places that runs may read" in found.json()["faults"][0]["text"]
        assert "hidden" not in found.text


def test_a_stored_file_that_is_wrong_names_no_file(post: Post, stored: Path) -> None:
    (stored / "items.yaml").write_text(ITEMS.replace("bigint", "lorem"))
    found = post("preview", ITEMS)
    assert (found.status_code, "the stored file is wrong" in found.text) == (409, True)
    assert post("check", ITEMS).json()["faults"] == []
    (stored / "items.yaml").write_text(ITEMS.replace("{{ inbox }}", "{{ var.value.folder }}"))
    found = post("preview", ITEMS)
    assert (found.status_code, "which only a run knows" in found.text) == (409, True)


def test_a_file_that_waits_comes_first(post: Post, warehouse: Connection[Any], inbox: Path) -> None:
    waiting = inbox / f"items_{DAY + timedelta(days=1):%Y-%m-%d}.csv"
    wait_for(warehouse, waiting, DAY + timedelta(days=1))
    assert post("preview", ITEMS).json()["preview"]["first_rows"][0][0] == "1", "it has not come"
    waiting.write_text("id,label,price\n77,z,5\n")
    assert post("preview", ITEMS).json()["preview"]["file"] == str(waiting)


def test_code_that_the_stored_file_does_not_name_is_not_loaded(post: Post, stored: Path, tmp_path: Path) -> None:
    (stored / "evil_hook.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\ndef clean(frame):\n    return frame\n"
    )
    for hook in ("evil_hook:clean", "os:system"):
        text = ITEMS + f'clean: "{hook}"\n'
        checked, tried = post("check", text).json(), post("preview", text).json()
        assert checked["faults"] == []
        assert [one["line"] for one in checked["warnings"]] == [11]
        assert "no other hook is run from here" in tried["faults"][0]["text"]
        assert "preview" not in tried
    assert not (tmp_path / "ran").exists()


def test_the_hook_that_the_stored_file_names_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: Path
) -> None:
    (stored / "own_hook.py").write_text("def clean(frame):\n    frame['label'] = 'seen'\n    return frame\n")
    monkeypatch.setenv("MILLRACE_DATASETS", str(stored))
    monkeypatch.setenv("MILLRACE_ROOTS", str(tmp_path))
    (tmp_path / "x.csv").write_text(GOOD)
    text = ITEMS + 'clean: "own_hook:clean"\n'
    dataset = make_dataset(stored, text)
    files = [(str(tmp_path / "x.csv"), datetime.now(UTC).isoformat())]
    found = answer(job_for("preview", "items", text, dataset, files))
    assert [row[1] for row in found["preview"]["first_rows"]] == ["seen", "seen"]
    # Where the stored file is wrong, nothing says which hook it means.
    assert "no other hook" in answer(job_for("preview", "items", text, None, files))["faults"][0]["text"]


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ inbox.__class__.__init__.__globals__ }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "{{ 'a' * 9999999999 }}",
        "{{ inbox }}/other.csv",
    ],
)  # fmt: skip
def test_a_template_of_the_text_is_not_evaluated(stored: Path, source: str) -> None:
    began = time.monotonic()
    text = ITEMS.replace("{{ inbox }}/items_{{ ds }}.csv", source)
    found = answer(job_for("check", "items", text, make_dataset(stored), []))
    said = str(found)
    assert "class '" not in said
    assert "__globals__" not in said
    assert "/var/lib" not in said
    assert not found["faults"]
    assert found["facts"]["source"].startswith("changed: it is not filled in here")
    assert time.monotonic() - began < jobs.SECONDS["check"]
    unchanged = answer(job_for("check", "items", ITEMS, make_dataset(stored), []))
    assert re.search(r"/items_\d{4}-\d\d-\d\d\.csv$", unchanged["facts"]["source"])


def test_limits_are_those_of_the_stored_file(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ROOTS", str(tmp_path))
    bomb = tmp_path / "bomb.csv.gz"
    with gzip.open(bomb, "wb") as packed:
        packed.write(b"id,label,price\n" + b"1,a,1\n" * 2_000_000)
    dataset = make_dataset(stored, ITEMS + "unpack_limit: {bytes: 1000000}\nmax_record_bytes: 2048\n")
    text = ITEMS + "unpack_limit: {bytes: null, ratio: null}\nmax_record_bytes: 536870912\nblock_bytes: 268435456\n"
    found = answer(job_for("preview", "items", text, dataset, [(str(bomb), "2026-03-01T00:00:00+00:00")]))
    assert "holds more than" in found["faults"][0]["text"]
    long = tmp_path / "long.csv"
    long.write_text(f"id,label,price\n1,{'x' * 5_000},1\n")
    found = answer(job_for("preview", "items", text, dataset, [(str(long), "2026-03-01T00:00:00+00:00")]))
    assert "is longer than 2,048 bytes" in found["faults"][0]["text"]


NAMES = "abcdefghij"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{name}'] * 9)}]\n" for name, after in pairwise(NAMES)
)
ENDLESS = {
    "billion-laughs": LAUGHS,
    "itself": "name: &n [*n]\n",
    "deep-list": "name: " + "[" * 50_000,
    "deep-map": "name: " + "{a: " * 20_000,
    "pattern": ITEMS.replace("type: text", 'type: text, pattern: "(a+)+$", default: ' + "a" * 60 + "!"),
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_text_that_never_ends_is_stopped(stored: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(jobs.SECONDS, "check", 8)
    began = time.monotonic()
    try:
        told = str(answer(job_for("check", "items", text, make_dataset(stored), []))["faults"])
    except Failed as fault:
        told = str(fault)
    assert len(told) > 10
    assert time.monotonic() - began < 25


def test_nothing_is_written_and_nothing_left(
    post: Post, warehouse: Connection[Any], stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("MILLRACE_SCRATCH", str(scratch))
    before = {file: file.read_bytes() for file in stored.iterdir()}
    counts = "SELECT (SELECT count(*) FROM millrace.ingest_run), (SELECT count(*) FROM items)"
    rows = warehouse.execute(counts).fetchone()
    assert post("preview", ITEMS.replace("min: 0", "min: -9")).json()["preview"]["counts"]["read"] == 3
    assert post("check", ITEMS.replace("bigint", "lorem")).json()["faults"]
    assert {file: file.read_bytes() for file in stored.iterdir()} == before
    assert warehouse.execute(counts).fetchone() == rows
    assert staging_tables(warehouse) == []
    assert list(scratch.iterdir()) == []


def test_a_preview_that_takes_too_long_is_stopped_and_leaves_nothing(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_INBOX", str(tmp_path))
    monkeypatch.setenv("MILLRACE_SCRATCH", str(tmp_path / "scratch" / "in"))
    monkeypatch.setenv("MILLRACE_DATASETS", str(stored))
    monkeypatch.setitem(jobs.SECONDS, "preview", 3)
    (tmp_path / "scratch" / "in").mkdir(parents=True)
    (stored / "slow_hook.py").write_text("import time\ndef clean(frame):\n    time.sleep(600)\n    return frame\n")
    (tmp_path / "x.csv").write_text(GOOD)
    text = ITEMS + 'clean: "slow_hook:clean"\n'
    files = [(str(tmp_path / "x.csv"), "2026-03-01T00:00:00+00:00")]
    with pytest.raises(Failed, match=r"longer than 3 seconds and was stopped: `\./run dataset preview items`"):
        answer(job_for("preview", "items", text, make_dataset(stored, text), files))
    assert list((tmp_path / "scratch").rglob("millrace-*")) == []


def test_a_preview_needs_the_right_to_trigger(
    dsn: str, warehouse: Connection[Any], stored: Path, tmp_path: Path
) -> None:
    ingest(warehouse, make_dataset(stored), GOOD, tmp_path)
    for may_see, may_trigger, expected in (
        (True, False, {"check": 200, "preview": 403}), (False, True, {"check": 403, "preview": 403}),
    ):  # fmt: skip
        seeing, triggering = ({"items"} if may else set() for may in (may_see, may_trigger))
        app = application(dsn, stored, guards(seeing.__contains__), may_trigger=triggers(triggering.__contains__))
        with served(app) as url, httpx.Client(base_url=f"{url}/millrace/ingest/", timeout=60) as client:
            for kind, status in expected.items():
                found = client.post(f"datasets/items/{kind}", json={"text": ITEMS})
                assert found.status_code == status, (kind, found.text)
            assert client.get("datasets/items/profile").status_code == (200 if may_see else 403)


def test_what_is_no_text_is_refused(post: Post) -> None:
    for body, status in (
        ({"content": b'{"text": "x"}', "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"text=x", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 415),
        ({"json": {"text": 5}}, 422), ({"json": ["text"]}, 422),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422),
        ({"json": {"text": "x" * 300_000}}, 413), ({"json": {"text": "x" * 3_000_000}}, 413),
    ):  # fmt: skip
        assert post("check", "", **{"json": None, **body}).status_code == status, str(body)[:80]
    long = post("preview", ITEMS.replace("name: items", "name: other"))
    assert "is not the file's name, items" in long.json()["faults"][0]["text"]
