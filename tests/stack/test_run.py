"""`./run` as a user meets it: its commands, its one-line complaints, and a real stack that is killed and cleaned."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack.postgres import PostgresServer
from stack.processes import Register, Started
from stack.settings import API_PORT
from tests.stack.here import REPOSITORY, run
from tests.waiting import until

COMMANDS = (
    "setup", "demo", "up", "down", "status", "cluster", "secrets", "airflow", "psql", "test", "fuzz",
    "campaign", "check", "bench", "lock", "ingest", "docs", "restart", "logs", "dataset", "dataset", "dataset",
    "image", "compose-test",
)  # fmt: skip
PARTS = ("postgres", "databases", "airflow tables", "api-server", "scheduler", "dag-processor", "triggerer")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A clone without an environment, as far as `./run` looks at it."""
    for file in REPOSITORY.glob("requirements*.lock"):
        shutil.copy(file, tmp_path)
    shutil.copy(REPOSITORY / "run", tmp_path)
    return tmp_path


def test_run_alone_prints_its_commands() -> None:
    done = run()
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(COMMANDS)
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_an_unknown_command_is_named() -> None:
    done = run("fly")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "run: no such command: fly"


def test_a_wrong_python_is_one_line(bare: Path) -> None:
    done = run("setup", cwd=bare, PYTHON="/bin/true/python")
    assert done.returncode == 1
    assert done.stderr == "run: PYTHON=/bin/true/python is not a working Python 3.11, 3.12 or 3.13\n"


def test_no_python_at_all_is_one_line(bare: Path) -> None:
    tools = bare / "bin"
    tools.mkdir()
    for name in ("dirname", "df", "awk", "cat", "cksum"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    done = run("setup", cwd=bare, PATH=str(tools), PYTHON="")
    assert done.returncode == 1
    assert done.stderr.startswith("run: found no Python 3.11, 3.12 or 3.13 on PATH")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_venv_module_names_the_package(bare: Path) -> None:
    broken = bare / "broken"
    broken.mkdir()
    (broken / "ensurepip.py").write_text("raise ImportError('not installed')\n")
    done = run("setup", cwd=bare, PYTHON=sys.executable, PYTHONPATH=str(broken))
    assert done.returncode == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.stderr.rstrip().endswith(f"apt install python{version}-venv")
    assert len(done.stderr.splitlines()) == 1


def test_setup_does_nothing_once_done() -> None:
    assert run("setup").returncode == 0
    assert run("setup").stderr == "run: .venv is ready\n", "a line for each thing that it does"


def test_without_a_stack_each_command_says_so(tmp_path: Path) -> None:
    state = {"MILLRACE_STATE": str(tmp_path / "none")}
    for command in ("status", "psql", "airflow", "ingest"):
        done = run(command, **state)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "./run up" in done.stderr
    done = run("down", **state)
    assert (done.returncode, done.stderr) == (0, "run: nothing runs here\n")
    assert not (tmp_path / "none").exists()


@pytest.fixture
def port_is_ours() -> Iterator[bool]:
    """Take Airflow's usual port; False where somebody else has it, who may let it go at any time."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", API_PORT))
            taken.listen()
            yield True
        except OSError:
            yield False


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own, whose stack is gone afterwards."""
    folder = tmp_path / "state"
    yield folder
    done = run("down", "--delete", MILLRACE_STATE=str(folder))
    assert done.returncode == 0, done.stderr
    assert not folder.exists()


def everything(state: Path) -> list[psutil.Process]:
    """All processes of the stack, PostgreSQL's too."""
    entries: list[Started] = Register(state / "processes.json").read()
    server = int((state / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    found = {process for entry in entries for process in entry.members()}
    return [*found, psutil.Process(server), *psutil.Process(server).children()]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.airflow
def test_the_stack_comes_up_survives_kills_and_goes_down(state: Path, port_is_ours: bool) -> None:
    environment = {"MILLRACE_STATE": str(state)}
    interrupt_up(environment)
    done = run("up", **environment)
    assert done.returncode == 0, done.stderr
    assert "it is starting already" in done.stderr
    assert [line.split(" ready")[0].strip() for line in done.stdout.splitlines()[:7]] == list(PARTS)
    assert (state / "settings.json").stat().st_mode & 0o077 == 0
    assert not port_is_ours or settings_of(state)["api_port"] != API_PORT
    assert run("psql", "metadata", "-tAc", "SELECT current_user", **environment).stdout.strip() == "airflow"
    check_login(state)
    check_restarts(state, environment)

    first = everything(state)
    assert len(alive(first)) > 10  # a child that reads a DAG file lives for a moment only
    supervisor = Register(state / "processes.json").alive("supervisor")
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert run("status", **environment).returncode == 1
    done = run("up", **environment)
    assert done.returncode == 0, done.stderr
    assert (f"port {API_PORT} is taken" in done.stderr) == (settings_of(state)["api_port"] != API_PORT)
    assert "ended what a killed supervisor left behind: api-server, scheduler" in done.stderr
    assert alive(first) == []

    second = everything(state)
    assert run("down", **environment).returncode == 0
    assert alive(second) == []


def interrupt_up(environment: dict[str, str]) -> None:
    """Kill `./run up` after its first line; the supervisor goes on."""
    command = [str(REPOSITORY / "run"), "up"]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as up:
        assert up.stdout is not None
        assert b"postgres" in up.stdout.readline()
        up.kill()


def settings_of(state: Path) -> dict[str, Any]:
    return dict(json.loads((state / "settings.json").read_text()))


def check_login(state: Path) -> None:
    settings = settings_of(state)
    url = f"http://127.0.0.1:{settings['api_port']}/auth/token"
    body = json.dumps({"username": "admin", "password": settings["secrets"]["admin"]}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["access_token"]


def check_restarts(state: Path, environment: dict[str, str]) -> None:
    """A killed triggerer and a stopped server come back by themselves."""
    triggerer = Register(state / "processes.json").alive("triggerer")
    assert triggerer is not None
    os.kill(triggerer.pid, signal.SIGKILL)
    PostgresServer(state / "postgres").stop("immediate")

    def restarted() -> bool:
        status = run("status", **environment)
        return status.returncode == 0 and status.stdout.count("restarted") >= 2

    until(restarted, "both to come back", every=1.0)
