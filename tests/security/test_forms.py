"""The doors through which a person names a place: what they refuse, that they do so at once, and what still waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from include.bridge import images, ingest, new_file, reasons
from include.bridge.reasons import Stopped
from include.images.upload import sweep
from include.images.upload.checked_file import Refused
from include.ingest import figures
from include.ingest.errors import IngestError, StorageAway
from include.ingest.plan import Order
from include.ingest.run import close
from tests.ingest.loading import DAY, HEADER, ITEMS, make_dataset

PARAMS: dict[str, Any] = {"path": None, "force": False}
FILE = {"file": "", "name": None, "key": None, "dates": "as found", "decimal_mark": "as found", "accept": False,
        "append": False, "action": "look"}  # fmt: skip
BEYOND = ["/etc/passwd", "file:///etc/passwd", "/proc/self/environ", "http://127.0.0.1:1/x.csv", "github://a:b@c/x.csv",
          "memory://x.csv", "s3://storage@deliveries/x.csv", "s3://bucket/x.csv"]  # fmt: skip


class Task:
    """A task that runs, as far as the bridge asks."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection, self.pushed = connection, {}  # type: tuple[psycopg.Connection, dict[str, Any]]
        self.params: dict[str, Any] = dict(PARAMS)
        self.try_number, self.max_tries = 1, 3
        self.dag_run = SimpleNamespace(
            dag_id="ingest_items", run_id="manual__1", logical_date=DAY, run_after=DAY, start_date=datetime.now(UTC),
            run_type="manual",
        )  # fmt: skip

    def context(self) -> dict[str, Any]:
        """Airflow's."""
        return {"params": self.params, "dag_run": self.dag_run, "ti": self, "task": self}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        self.pushed[key] = value

    def render_template(self, text: str, context: dict[str, Any]) -> str:
        """As much of Jinja as these sources need."""
        return text.replace("{{ inbox }}", context["inbox"]).replace("{{ ds }}", context["ds"])


@pytest.fixture
def task(warehouse: psycopg.Connection, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """In a strict deployment with an empty inbox."""
    (tmp_path / "inbox" / "images").mkdir(parents=True)
    for name in ("MILLRACE_ROOTS", "MILLRACE_IMAGES_INBOX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILLRACE_INBOX", str(tmp_path / "inbox"))
    monkeypatch.setenv("MILLRACE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("MILLRACE_IMAGES", str(tmp_path / "pictures"))
    task = Task(warehouse)

    @contextmanager
    def connected(*_: Any) -> Iterator[psycopg.Connection]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection

    for module in (ingest, new_file, reasons, images):
        monkeypatch.setattr(module, "get_current_context", task.context)
    for module in (ingest, new_file):
        monkeypatch.setattr(module, "connected", connected)
    return task


def look(task: Task, folder: Path, path: str | None, **more: Any) -> Order | None:
    """One poke of `plan` of `ingest_items`."""
    task.params = {**PARAMS, "path": path}
    return ingest.look(make_dataset(folder, **more))


def file(task: Task, folder: Path, path: str) -> object:
    """Task `describe` of `ingest_file`."""
    task.params = {**FILE, "file": path}
    return new_file.describe()


def pictures(task: Task, folder: Path, path: str) -> object:
    """Task `claim` of `resize_images`."""
    task.params = {"path": path, "everything": False}
    return images.take_in(task.connection)


def source(task: Task, folder: Path, path: str) -> object:
    """A dataset whose own `source` names the place."""
    return look(task, folder, None, text=ITEMS.replace("{{ inbox }}/items_{{ ds }}.csv", path))


@pytest.mark.parametrize("path", BEYOND)
@pytest.mark.parametrize("door", [look, file, pictures, source])
def test_a_place_beyond_the_roots_ends_the_run_at_once(
    door: Callable[[Task, Path, str], object], path: str, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(Stopped) as told:
        door(task, tmp_path, path)
    said = str(told.value)
    assert f"{path} lies outside the places that runs may read" in said
    assert f"places that runs may read: {tmp_path}/inbox. Deliver it there" in said
    assert "to $MILLRACE_ROOTS" in said
    assert "root:" not in said
    assert "MILLRACE_ROOTS" in task.pushed[reasons.KEY], "it is the note of the run"
    ledger = task.connection.execute("SELECT reason FROM millrace.ingest_run").fetchall()
    assert ledger in ([], [(said,)])


def test_what_is_listed_is_read(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "items.csv").write_text(HEADER + "1,a,1\n")
    monkeypatch.setenv("MILLRACE_ROOTS", f"s3://x@y/,{tmp_path}/more")
    path = f"{tmp_path}/more/items.csv"
    assert look(task, tmp_path, path)
    assert source(task, tmp_path, path)
    assert file(task, tmp_path, path) is False, "a look loads nothing"
    assert pictures(task, tmp_path, f"{tmp_path}/more") == {"taken": 0, "known": 0, "refused": 1}


@pytest.mark.parametrize(
    ("path", "failed"), [("{}/inbox/none.csv", 0), ("/etc/passwd", 0), (None, 1)], ids=["absent", "beyond", "untyped"]
)
def test_a_mistyped_path_is_no_failure_of_the_dataset(
    path: str | None, failed: int, task: Task, tmp_path: Path
) -> None:
    beyond = ITEMS.replace("{{ inbox }}/items_{{ ds }}.csv", "/etc/passwd")
    with pytest.raises(Stopped):
        look(task, tmp_path, path and path.format(tmp_path), text=ITEMS if path else beyond)
    with pytest.raises(IngestError):
        close(task.connection, ingest.run_id())
    assert _failed(task.connection) == failed
    with pytest.raises(Stopped):  # cleared, and this time without a path
        look(task, tmp_path, None, text=beyond)
    with pytest.raises(IngestError):
        close(task.connection, ingest.run_id())
    assert _failed(task.connection) == 1


def _failed(connection: psycopg.Connection) -> int:
    """What the alert `IngestFailed` is about."""
    ((*_, count),) = connection.execute(figures.DATASETS.statement).fetchall()
    return int(count)


TYPED = ["{}/none.csv", "{}/*.none", "{}/none/", "file://{}/none.csv"]


@pytest.mark.parametrize("path", TYPED)
def test_a_typed_path_that_is_not_there_is_not_waited_for(path: str, task: Task, tmp_path: Path) -> None:
    path = path.format(tmp_path / "inbox")
    with pytest.raises(Stopped, match="is not there, and a path that was given is not waited for") as told:
        look(task, tmp_path, path)
    (row,) = task.connection.execute("SELECT status, reason FROM millrace.ingest_run").fetchall()
    assert row == ("waiting", str(told.value)), "task `account` makes it failed"
    Path(tmp_path / "inbox" / "none.csv").write_text(HEADER)
    if path.endswith("none.csv"):
        assert look(task, tmp_path, path), "delivered, and task `plan` cleared"


def test_a_typed_path_that_can_not_be_read_is_not_tried_again(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(order: Order) -> None:
        raise StorageAway(f"{order.path} can't be read: Permission denied")

    monkeypatch.setattr(Order, "look", closed)
    with pytest.raises(Stopped, match=r"Permission denied. Trigger a run with another path"):
        look(task, tmp_path, str(tmp_path / "inbox" / "closed.csv"))
    with pytest.raises(StorageAway):
        look(task, tmp_path, None)
    monkeypatch.setenv("MILLRACE_ROOTS", "s3://x@y/")
    with pytest.raises(StorageAway):
        look(task, tmp_path, "s3://x@y/z.csv")


def test_what_the_schedule_expects_is_waited_for(task: Task, tmp_path: Path) -> None:
    assert look(task, tmp_path, None) is None
    assert task.connection.execute("SELECT status, reason FROM millrace.ingest_run").fetchall() == [("waiting", None)]
    (tmp_path / "inbox" / f"items_{DAY:%Y-%m-%d}.csv").write_text(HEADER)
    assert look(task, tmp_path, None)


def test_the_wait_ends_in_time(task: Task, tmp_path: Path) -> None:
    task.dag_run.start_date -= timedelta(days=1)
    with pytest.raises(Stopped, match="did not come within"):
        look(task, tmp_path, None)


def test_a_link_in_the_inbox_ends_the_run(task: Task, tmp_path: Path) -> None:
    (tmp_path / "inbox" / f"items_{DAY:%Y-%m-%d}.csv").symlink_to("/etc/passwd")
    with pytest.raises(Stopped, match="lies outside the places that runs may read"):
        look(task, tmp_path, None)


def test_a_link_whose_name_looks_like_a_pattern_is_a_link(task: Task, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "secret.csv").write_text(HEADER + "1,hidden,1\n")
    (tmp_path / "inbox" / "x[1]").symlink_to(tmp_path / "else")
    for door, path in ((look, "x[1]/secret.csv"), (file, "x[1]/secret.csv"), (pictures, "x[1]")):
        with pytest.raises(Stopped, match="lies outside the places that runs may read") as told:
            door(task, tmp_path, f"{tmp_path}/inbox/{path}")
        assert "else" not in str(told.value)


def test_a_folder_of_pictures_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"x")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.jpg").write_bytes(b"hidden")
    (found,) = sweep.files(tmp_path / "in")
    (tmp_path / "in").rename(tmp_path / "was")
    (tmp_path / "in").symlink_to(tmp_path / "else")
    with pytest.raises(Refused), found.open():
        pass
