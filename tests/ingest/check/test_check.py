"""`python -m include.ingest check`: dataset files alone, together, and against a warehouse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from include.ingest.check.files import next_run
from include.warehouse import migrate
from stack.postgres import PostgresServer
from tests.ingest.here import run
from tests.ingest.loading import ITEMS, make_dataset

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of datasets, with one in it, and an inbox."""
    found = tmp_path / "datasets"
    found.mkdir()
    (found / "items.yaml").write_text(ITEMS)
    monkeypatch.setenv("MILLRACE_DATASETS", str(found))
    monkeypatch.setenv("MILLRACE_INBOX", str(tmp_path / "inbox"))
    return found


def add(folder: Path, name: str, text: str = ITEMS) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text.replace("name: items", f"name: {name}"))
    return file


def test_all_is_well(folder: Path, tmp_path: Path) -> None:
    done = run("check", "--date", "2026-03-01T12:00")
    assert done.returncode == 0
    assert f"{folder / 'items.yaml'}: ok" in done.stdout
    assert f"source    {tmp_path}/inbox/items_2026-03-01.csv: not there" in done.stdout
    assert done.stdout.endswith("1 dataset files, 0 faults, 0 warnings\n")
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "items_2026-03-01.csv").write_text("id\n")
    assert "items_2026-03-01.csv: found, 3 bytes" in run("check", "items", "--date", "2026-03-01").stdout
    assert "found" not in run("check", "items", "--date", "2026-03-01", "--offline").stdout


def test_a_fault_is_one_line_with_its_place(folder: Path) -> None:
    wrong = add(folder, "wrong", ITEMS.replace("type: bigint", "type: bigin") + "clean: no_such:hook\nnope: 1\n")
    done = run("check")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith(str(wrong))]
    assert lines == [
        line for line in lines if line.startswith((f"{wrong}:7: columns.id.type: ", f"{wrong}:12: nope: unknown field"))
    ]
    assert len(lines) == 2
    assert run("check", folder / "items.yaml").returncode == 0, "only what is asked for"
    found = json.loads(run("check", wrong, "--json").stdout)
    assert (found["faults"], found["files"][0]["faults"]) == (2, lines)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, "can't be loaded: ModuleNotFoundError"), ("x = 1", "is not a function"), ("1 / 0", "ZeroDivisionError"),
        ("def x(frame):\n    return frame\n", ""),
    ],
)  # fmt: skip
def test_a_hook_must_be_importable(folder: Path, code: str | None, said: str) -> None:
    module = f"hook_{uuid4().hex}"
    if code is not None:
        (folder / f"{module}.py").write_text(code)
    file = add(folder, "hooked", ITEMS + f"clean: {module}:x\n")
    done = run("check", file)
    assert done.returncode == (1 if said else 0)
    if said:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{file}:11: clean: ")]
        assert said in line


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ ds.nothing() }}", "items.yaml:3: source: "), ("{{ conn.x.host }}/a.csv", "only Airflow can fill in conn"),
        ("{{ data_interval_end | ds }}.csv", "2026-03-02.csv"), ("ftps://x/{{ ds }}", "can't be looked at"),
        ("s3://@/{{ ds }}", "can't be looked at"),
    ],
)  # fmt: skip
def test_the_template_is_rendered(folder: Path, source: str, said: str) -> None:
    add(folder, "items", ITEMS.replace("{{ inbox }}/items_{{ ds }}.csv", source))
    done = run("check", "--date", "2026-03-01")
    assert said in done.stdout
    assert done.returncode == ("nothing" in source)


def test_one_name_in_two_folders(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "more"
    other.mkdir()
    twin = add(other, "items")
    monkeypatch.setenv("MILLRACE_DATASETS", f"{folder}:{other}")
    done = run("check")
    assert done.returncode == 1
    assert f"{twin}:1: name: items is the name of {folder / 'items.yaml'} too" in done.stdout
    assert run("check", twin).returncode == 1, "also where the first one was not asked for"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ITEMS + "mode: replace\n", "other has mode replace and deletes the rows of the other"),
        (ITEMS.replace("key: [id]", "key: [price]").replace("nullable: true, min: 0", "min: 0"), "their keys are (id)"),
        (ITEMS + "duplicates: first\n", "of rows with one key the newer file's wins"),
        (ITEMS.replace("public.items", "items"), "of rows with one key"),
        (ITEMS + "postgres_conn_id: elsewhere\n", ""),
        (ITEMS.replace("public.items", "public.others"), ""),
    ],
)
def test_two_datasets_of_one_target(folder: Path, text: str, said: str) -> None:
    add(folder, "other", text)
    done = run("check")
    assert done.returncode == 0
    assert done.stdout.count("(warning)") == (2 if said else 0)
    assert said in done.stdout
    assert run("check", folder / "items.yaml").stdout.count("(warning)") == (1 if said else 0), "neighbours count"
    assert run("check", "--strict").returncode == (1 if said else 0)


def test_usage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", "--no-such").returncode == 2
    near = run("check", "itemz")
    assert (near.returncode, "did you mean items?" in near.stderr) == (2, True)
    assert run("check", folder / "absent.yaml").returncode == 2
    assert run("check", "--dsn", "postgresql://127.0.0.1:1/none").returncode == 2
    monkeypatch.setenv("MILLRACE_DATASETS", str(folder / "absent"))
    done = run("check")
    assert (done.returncode, "there is no such folder" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "@daily, next run 2026-03-06 00:00 UTC with the file of 2026-03-05 00:00"),
        ({"schedule": None}, "by hand only"),
        ({"schedule": "30 2 * * 1"}, "30 2 * * 1, next run 2026-03-09 02:30 UTC with the file of 2026-03-02 02:30"),
        ({"start_date": datetime(2026, 5, 1).date()}, "@daily, next run 2026-05-02 00:00 UTC"),
        ({"start_date": datetime(2026, 5, 1).date(), "schedule": "0 6 * * *"}, "next run 2026-05-02 06:00 UTC"),
        ({"end_date": datetime(2026, 3, 5).date()}, "next run 2026-03-06 00:00"),
        ({"end_date": datetime(2026, 3, 4).date()}, "@daily, no further run after 2026-03-04"),
    ],
)
def test_the_next_run_is_airflows(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    dataset = make_dataset(tmp_path).model_copy(update=changes)
    now = datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert said in next_run(dataset, now)
    if dataset.schedule is None:
        return
    from airflow.timetables.base import DataInterval, TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable
    from pendulum import instance

    table = CronDataIntervalTimetable(dataset.schedule, timezone="UTC")
    first = instance(datetime.combine(dataset.start_date, datetime.min.time(), UTC))
    last = instance(datetime.combine(dataset.end_date, datetime.max.time(), UTC)) if dataset.end_date else None
    info = None
    interval: DataInterval | None = None
    for _ in range(300):  # run after run, until one is due after now
        info = table.next_dagrun_info(
            last_automated_data_interval=interval, restriction=TimeRestriction(first, last, True)
        )
        if info is None or info.run_after > now:
            break
        interval = info.data_interval
    if info is None:
        assert "no further run" in said
    else:
        assert f"next run {info.run_after:%Y-%m-%d %H:%M} UTC" in next_run(dataset, now)


@pytest.fixture
def login(warehouse: psycopg.Connection[Any], postgres: PostgresServer) -> Iterator[str]:
    """The URL of a login that may only connect."""
    name, database = f"checker_{uuid4().hex[:8]}", warehouse.info.dbname
    role = sql.Identifier(name)
    with psycopg.connect(postgres.dsn(database), autocommit=True) as superuser:
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'c'").format(role))
        superuser.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        superuser.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role))
        superuser.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        yield postgres.dsn(database, name, "c")
        superuser.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_the_target_is_compared(warehouse: psycopg.Connection[Any], dsn: str, folder: Path) -> None:
    file = folder / "items.yaml"
    done = run("check", "--dsn", dsn)
    assert (done.returncode, "does not exist, a run creates it" in done.stdout) == (0, True)
    warehouse.execute("CREATE TABLE items (id integer PRIMARY KEY, label text)")
    done = run("check", "--dsn", dsn)
    assert done.returncode == 1
    assert f"{file}:4: target: column id: bigint in the dataset, integer in the table" in done.stdout
    assert f"{file}:4: target: column price: the dataset has it" in done.stdout
    warehouse.execute("DROP TABLE items")
    warehouse.execute("CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2))")
    done = run("check", "--dsn", dsn)
    assert (done.returncode, "fits, 3 columns" in done.stdout) == (0, True)
    add(folder, "items", ITEMS.replace("public.items", "nowhere.items"))
    assert "there is no schema nowhere" in run("check", "--dsn", dsn).stdout


def grants(text: str) -> list[str]:
    """The statements that the faults tell to run, each word for word."""
    return [line.partition("GRANT ")[2] for line in text.splitlines() if "GRANT " in line]


def test_rights_that_lack_are_named_and_enough(
    warehouse: psycopg.Connection[Any], login: str, postgres: PostgresServer, folder: Path
) -> None:
    """What check tells to grant is granted, until it has no more to say."""
    database = warehouse.info.dbname
    with psycopg.connect(postgres.dsn(database), autocommit=True) as superuser:
        superuser.execute("DROP SCHEMA millrace, millrace_staging CASCADE")
        superuser.execute(
            "CREATE TABLE items (id bigint PRIMARY KEY, label text, price numeric(8,2), processed_at timestamptz"
            " NOT NULL DEFAULT now(), source_version timestamptz)"
        )
        for _ in range(5):
            done = run("check", "--dsn", login)
            for statement in dict.fromkeys(grants(done.stdout)):
                superuser.execute(f"GRANT {statement}")
            if not done.returncode:
                break
        assert done.returncode == 0, done.stdout
        file = folder.parent / "items.csv"
        file.write_text("id,label,price\n1,one,1\n")
        ran = run("run", "items", file, "--dsn", login)
        assert ran.returncode == 0, ran.stderr
        again = run("check", "--dsn", login)
        assert again.returncode == 0, again.stdout


def test_a_login_that_is_not_the_owner_is_told(warehouse: psycopg.Connection[Any], login: str, folder: Path) -> None:
    migrate.apply(warehouse)
    done = run("check", "--dsn", login)
    assert done.returncode == 1
    assert "does not own schema millrace: run as its owner" in done.stdout


def test_nothing_is_written(warehouse: psycopg.Connection[Any], dsn: str, folder: Path, tmp_path: Path) -> None:
    from tests.ingest.preview.test_writes_nothing import checksum

    before, files = checksum(warehouse), sorted(tmp_path.rglob("*"))
    run("check", "--dsn", dsn)
    assert (checksum(warehouse), sorted(tmp_path.rglob("*"))) == (before, files)


def test_as_a_program_it_needs_neither_airflow_nor_a_database(folder: Path) -> None:
    code = (
        "import sys; from include.ingest.__main__ import main; code = main(['check', '--offline']);"
        "assert 'airflow' not in sys.modules, 'airflow'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
