"""What `./run` hands over to, its logs, and what it says of a stack that died; without a stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console

from stack import __main__ as stack
from stack import commands, environment
from stack.demo import images
from stack.demo import run as demo
from stack.doors import programs
from stack.doors.logs import show_logs
from stack.errors import StackError
from stack.processes import Register, Started
from stack.settings import Settings
from stack.status import Part, Status
from tests.ingest.loading import ITEMS
from tests.stack.here import REPOSITORY


class Became(NamedTuple):
    """The program that the process would have become."""

    arguments: list[str]
    environment: dict[str, str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a stack that is down."""
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path / "state"))
    for name in ("PGHOST", "PGPASSWORD", "MILLRACE_DATASETS", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    return Settings.load()


@pytest.fixture
def up(settings: Settings) -> Iterator[Settings]:
    """A stack that seems to run: its supervisor is a program that sleeps."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as sleeper:
        try:
            Register(settings.state / "processes.json").write([Started.of("supervisor", sleeper.pid)])
            Status([Part("postgres", "ready")]).write(settings.state / "status.json")
            yield settings
        finally:
            sleeper.kill()


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Became]:
    found: list[Became] = []

    def execve(_: str, arguments: list[str], environment: dict[str, str]) -> None:
        found.append(Became(arguments[arguments.index("-m") + 1 :], environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    return found


def call(*arguments: str) -> int:
    """`./run` with these arguments."""
    try:
        return stack.main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["items"], ["run", "items"]), (["items", "a.csv", "--force"], ["run", "items", "a.csv", "--force"]),
        (["run", "x.yaml", "a.csv"], ["run", "x.yaml", "a.csv"]), (["preview", "items"], ["preview", "items"]),
        (["--help"], ["--help"]),
    ],
)  # fmt: skip
def test_ingest_takes_a_name(up: Settings, became: list[Became], typed: list[str], meant: list[str]) -> None:
    call("ingest", *typed)
    ((arguments, given),) = became
    assert arguments == ["include.ingest", *meant]
    assert (given["PGDATABASE"], given["PGPORT"]) == ("warehouse", str(up.postgres_port))
    assert given["MILLRACE_INBOX"] == str(up.inbox)


def test_dataset_check_asks_the_warehouse_that_runs(up: Settings, became: list[Became]) -> None:
    call("dataset", "check", "items")
    call("dataset", "check", "--dsn=postgresql://there/db")
    assert [one.arguments for one in became] == [
        ["include.ingest", "check", "--dsn=", "items"],
        ["include.ingest", "check", "--dsn=postgresql://there/db"],
    ]
    assert became[0].environment["PGHOST"] == "127.0.0.1"
    assert "PGHOST" not in became[1].environment
    call("dataset", "preview", "items", "a.csv")
    assert became[-1].arguments == ["include.ingest", "preview", "items", "a.csv"]
    assert became[-1].environment["PGUSER"] == "ingest"


def test_dataset_check_does_without_a_stack(
    settings: Settings, became: list[Became], capsys: pytest.CaptureFixture[str]
) -> None:
    call("dataset", "check")
    assert became[-1].arguments == ["include.ingest", "check"]
    assert became[-1].environment["MILLRACE_INBOX"] == str(settings.inbox)
    assert call("dataset", "preview", "items") == 1
    assert "or preview with --no-database" in capsys.readouterr().err
    call("dataset", "preview", "items", "--no-database")
    call("dataset", "init", "a.csv")
    assert [one.arguments[1] for one in became] == ["check", "preview", "init"]


def test_airflow_is_quiet_about_graphviz(up: Settings, became: list[Became]) -> None:
    call("airflow", "dags", "list")
    warn = (
        "import warnings; warnings.warn('Could not import graphviz. Rendering graph to the graphical format will not be"
        " possible. \\nYou might', UserWarning); warnings.warn('another', UserWarning)"
    )
    given = {"PYTHONWARNINGS": became[0].environment["PYTHONWARNINGS"]}
    done = subprocess.run([sys.executable, "-c", warn], env=given, capture_output=True, text=True, check=True)
    assert "graphviz. Rendering" not in done.stderr.replace(warn, "")
    assert "UserWarning: another" in done.stderr


def test_the_warning_is_the_one_that_airflow_gives(tmp_path: Path) -> None:
    said = []
    for filters in ("", programs.QUIET):
        given = {**os.environ, "PYTHONWARNINGS": filters, "AIRFLOW_HOME": str(tmp_path), "MILLRACE_MEMORY_AGENT": "off"}
        done = subprocess.run(
            [sys.executable, "-c", "import airflow.utils.dot_renderer"],
            env=given, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.append("Could not import graphviz" in done.stdout + done.stderr)
    assert said == [True, False]


def test_datasets_outside_reach_airflow_as_whole_paths(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_DATASETS", f"mine{os.pathsep}/other")
    assert environment.airflow_environment(settings)["MILLRACE_DATASETS"] == f"{tmp_path}/mine{os.pathsep}/other"
    monkeypatch.delenv("MILLRACE_DATASETS")
    assert "MILLRACE_DATASETS" not in environment.airflow_environment(settings)


def test_status_after_the_supervisor_was_killed_names_what_goes_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not commands.show_status()
    assert "the stack is down; start with ./run up" in capsys.readouterr().err
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as alone:
        try:
            killed = Started("supervisor", 2**22 - 3, 1.0, 2**22 - 3)
            left = Started.of("scheduler", alone.pid)
            Register(settings.state / "processes.json").write([killed, left])
            assert not commands.show_status()
        finally:
            alone.kill()
    said = capsys.readouterr().err
    assert f"the supervisor is gone, and these go on without it: scheduler (pid {alone.pid})" in said
    assert "supervisor (pid" not in said
    assert "./run down" in said


def test_restart_stops_and_starts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []

    def up() -> Settings:
        did.append("up")
        return settings

    monkeypatch.setattr(commands, "down", lambda **_: did.append("down"))
    monkeypatch.setattr(commands, "up", up)
    assert call("restart") == 0
    assert did == ["down", "up"]


def test_logs_of_one_part_and_of_all(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("logs") == 1
    assert "there are no logs yet" in capsys.readouterr().err
    settings.logs.mkdir()
    for part in ("scheduler", "api-server"):
        (settings.logs / f"{part}.log").write_bytes(
            b"\xff\n" + b"".join(b"%s %d\n" % (part.encode(), n) for n in range(200))
        )
    assert call("logs", "scheduler") == 0
    assert capsys.readouterr().out.splitlines() == [f"scheduler {n}" for n in range(100, 200)]
    assert call("logs", "scheduler", "--lines", "2") == 0
    assert capsys.readouterr().out == "scheduler 198\nscheduler 199\n"
    assert call("logs") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 8
    assert f"api-server ({settings.logs / 'api-server.log'}):\n  api-server 197\n" in out
    assert call("logs", "schedular") == 1
    assert (
        "there is no log of schedular; did you mean scheduler?; there are api-server, scheduler"
        in capsys.readouterr().err
    )
    assert call("logs", "-f") == 1


def test_logs_are_followed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.logs.mkdir()
    file = settings.logs / "scheduler.log"
    file.write_text("before\n")
    printed: list[str] = []

    def note(text: str, **_: Any) -> None:
        printed.append(text)
        if "end" in text:
            raise KeyboardInterrupt

    def write() -> None:
        time.sleep(0.7)
        with file.open("a") as log:
            log.write("after\n")
        time.sleep(0.7)
        file.write_text("end\n")  # begun anew

    monkeypatch.setattr("builtins.print", note)
    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(KeyboardInterrupt):
        show_logs("scheduler", follow=True)
    writer.join()
    assert printed == ["before", "after\n", "end\n"]


@pytest.mark.parametrize("size", ["-3", "0", "x", "inf", "nan"])
def test_a_demo_needs_a_size(settings: Settings, size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("demo", "--mb", size) == 2
    assert "is not a size in MB: give a number over 0" in capsys.readouterr().err


def test_a_demo_that_stops_gives_no_address(settings: Settings) -> None:
    end = demo._end(settings, stays=False)
    assert "http" not in end
    assert settings.secrets.admin not in end
    assert "./run up" in end
    assert settings.url in demo._end(settings, stays=True)


def test_a_demo_explains_a_small_files_speed() -> None:
    assert "Airflow starting tasks" in demo._why_slow(50)
    assert "--mb 1,000" not in demo._why_slow(50), "a number that the option takes"
    assert demo._why_slow(1000) == ""


def test_a_demo_says_that_a_picture_is_torn_on_purpose() -> None:
    class Api:
        def call(self, verb: str, path: str, **_: Any) -> dict[str, Any]:
            if verb == "POST":
                return {"images": [{"id": len(path)}]}
            return {
                "state": "done", "source": {"width": 1, "height": 1, "bytes": 1}, "renditions": [], "reason": "broken",
            }  # fmt: skip

    console = Console(record=True, width=200)
    images.demo_images(console, Api())  # type: ignore[arg-type]
    assert "torn.jpg is cut short on purpose" in console.export_text()


def test_a_demo_without_its_dataset_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo._check_datasets()
    monkeypatch.setenv("MILLRACE_DATASETS", str(tmp_path))
    with pytest.raises(StackError, match=r"no dataset is called orders in .*; unset \$MILLRACE_DATASETS"):
        demo._check_datasets()


def test_the_hook_for_pre_commit_checks_files_of_another_repository(tmp_path: Path) -> None:
    """As pre-commit runs it: the entry from the clone, in the user's repository, with the names of files there."""
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert (hook["language"], hook["entry"].split()[0]) == ("script", "./run")
    taken = re.compile(hook["files"])
    assert taken.search("datasets/items.yaml")
    assert taken.search("a/datasets/items.yaml")
    assert not taken.search("datasets/old/items.yaml")
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "__init__.py").write_text("raise SystemExit('the folder of the caller is not ours')\n")
    (tmp_path / "datasets").mkdir()
    file = tmp_path / "datasets" / "items.yaml"
    environment = {**os.environ, "MILLRACE_STATE": str(tmp_path / "none")}
    for text, code in ((ITEMS, 0), (ITEMS.replace("bigint", "bigin"), 1)):
        file.write_text(text)
        done = subprocess.run(
            [REPOSITORY / "run", *hook["entry"].split()[1:], "datasets/items.yaml"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert done.stdout.startswith("datasets/items.yaml:")
