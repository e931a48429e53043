"""`./run cluster`: start a cluster and stay until Ctrl-C, end one from elsewhere, run a command on one of its hosts."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from stack import secrets_file
from stack.cluster import plan
from stack.cluster.compose import port_variable
from stack.cluster.supervisor import NAMESPACES
from stack.cluster.topology import Host, Place
from stack.commands import say
from stack.errors import StackError
from stack.ports import free_port
from stack.postgres import PostgresServer
from stack.processes import Started
from stack.settings import write_private

LOOPBACK = "127.0.0.1"
PROGRAMS = {"ip": "iproute2", "unshare": "util-linux", "mount": "mount", "redis-server": "redis-server"}
DATABASES = ("metadata", "warehouse")
DOWN_SECONDS = 420.0  # a worker may end its tasks for five minutes


def up(workers: int) -> int:
    """Run a cluster until Ctrl-C, SIGTERM or `down`; the exit code."""
    check_machine()
    place = plan.place()
    place.logs.mkdir(parents=True, exist_ok=True)
    with (place.state / "lock").open("a") as lock, contextlib.ExitStack() as sockets:
        if not _locked(lock):
            raise StackError("a cluster of this clone runs already; end it with ./run cluster --down")
        if secrets_file.complete(plan.env_file(place)):
            say(f"made secrets in {plan.env_file(place)}")
        listening = _listen(sockets, plan.hosts_of(place, workers))
        (place.state / "ready").unlink(missing_ok=True)
        _remember(place, workers)
        return _run(place, workers, listening, lock)


def down(*, delete: bool = False) -> None:
    """End this clone's cluster; with `delete` remove its state too, databases included."""
    place = plan.place()
    if not place.state.is_dir():
        say("no cluster here")
        return
    command = _command(place)
    if command:
        command.terminate()
    with (place.state / "lock").open("a") as lock:
        until = time.monotonic() + DOWN_SECONDS
        while not _locked(lock):
            if time.monotonic() > until:
                raise StackError(f"the cluster did not end within {DOWN_SECONDS:.0f} s, see {place.logs}")
            time.sleep(0.1)
        say("the cluster is down")
        if delete:
            for name in DATABASES:
                PostgresServer(place.volumes / name / "data").destroy()
            shutil.rmtree(place.state)
            say(f"removed {place.state}")


def on_host(name: str, command: Sequence[str]) -> None:
    """Become a command on a host, with the environment of its service."""
    place = plan.place()
    pid = plan.first_process(place, name)
    if pid is None:
        raise StackError(f"no host {name} runs here; start a cluster with ./run cluster")
    workers = json.loads((place.state / "running.json").read_text())["workers"]
    host = next(one for one in plan.hosts_of(place, workers) if one.name == name)
    namespaces = ["--net", "--uts", "--ipc", "--mount", "--pid", f"--wd={host.working_dir}"]
    os.execvpe("nsenter", ["nsenter", "--target", str(pid), *namespaces, "--", *command], host.environment)


def check_machine() -> None:
    """Raise StackError that says what to type when hosts cannot be made here."""
    if os.geteuid() != 0:
        raise StackError("hosts made of namespaces take root: type `sudo ./run cluster`, or use `./run up`")
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        raise StackError(f"a cluster needs more programs: type `apt-get install {' '.join(missing)}`")
    done = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"this kernel or container makes no namespaces ({done.stderr.strip()}); use `./run up`")


def _run(place: Place, workers: int, listening: dict[str, list[tuple[int, int]]], lock: IO[str]) -> int:
    """Start the supervisor and wait for its end. Its input ends, and so does it, when this process is told or dies.

    It inherits the lock, so that a cluster that winds down is not taken for one that is gone.
    """
    handles = [handle for pairs in listening.values() for handle, _ in pairs]
    supervisor = subprocess.Popen(
        [*NAMESPACES, sys.executable, "-m", "stack.cluster.supervisor", str(place.state)],
        cwd=place.repository, stdin=subprocess.PIPE, pass_fds=[*handles, lock.fileno()], start_new_session=True,
        text=True,
    )  # fmt: skip
    assert supervisor.stdin is not None
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            supervisor.kill()
        elif supervisor.stdin:
            told = True
            say("stopping; once more ends it at once")
            supervisor.stdin.close()

    _on_signals(stop)
    supervisor.stdin.write(json.dumps({"workers": workers, "listening": listening}) + "\n")
    supervisor.stdin.flush()
    return supervisor.wait()


def _listen(stack: contextlib.ExitStack, hosts: Sequence[Host]) -> dict[str, list[tuple[int, int]]]:
    """Take the machine's ports, on loopback only: service to (socket, port of the service)."""
    found: dict[str, list[tuple[int, int]]] = {}
    for host in hosts:
        for outer, inner in host.service.ports.items():
            listening = stack.enter_context(socket.socket())
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((LOOPBACK, outer))
            except OSError as fault:
                raise StackError(_taken(outer, inner, host)) from fault
            listening.listen(128)
            found.setdefault(host.service.name, []).append((listening.fileno(), inner))
    return found


def _taken(outer: int, inner: int, host: Host) -> str:
    """What to type where another program has the port: the same with a port that is free now."""
    variable = port_variable(plan.COMPOSE, host.service.name, inner)
    free = free_port(*range(outer + 10_000, 65_536, 10_000))
    return f"port {outer} is taken, {host.name} needs it: type `{variable}={free} ./run cluster`"


def _remember(place: Place, workers: int) -> None:
    """Who runs the cluster, for `down`."""
    own = Started("cluster", os.getpid(), psutil.Process().create_time(), os.getsid(0))
    write_private(place.state / "running.json", json.dumps({**asdict(own), "workers": workers}))


def _command(place: Place) -> psutil.Process | None:
    """The process of `up`, if it lives."""
    file: Path = place.state / "running.json"
    if not file.exists():
        return None
    found = json.loads(file.read_text())
    return Started(found["name"], found["pid"], found["created"], found["session"]).process()


def _locked(lock: IO[str]) -> bool:
    # Held by `up` for as long as it runs, and given back by the kernel if it is killed.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)
