"""Docker for a trial: the machine's own daemon, or one that is started here and ends with the trial."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError

START_SECONDS, END_SECONDS = 60.0, 60.0
PLUGINS = ("docker-compose", "docker-buildx")


@contextmanager
def docker(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `docker` works. A daemon of our own keeps its layers in `folder`, for the next time."""
    environment = {**os.environ, "DOCKER_CONFIG": str(folder / "config")}
    if answers(environment):
        yield environment
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise StackError("no Docker answers here, and to start one takes root and dockerd (Debian: docker.io)")
    with tempfile.TemporaryDirectory(prefix="millrace-trial-") as place:  # a socket's path has to be short
        address = f"unix://{place}/docker.sock"
        command = ["dockerd", "--host", address, "--data-root", str(folder / "docker"), "--exec-root", place]
        with (folder / "dockerd.log").open("wb") as log:
            daemon = subprocess.Popen([*command, "--pidfile", f"{place}/pid"], stdout=log, stderr=log)
        try:
            environment["DOCKER_HOST"] = address
            _await(environment, daemon, folder / "dockerd.log")
            yield environment
        finally:
            daemon.terminate()
            daemon.wait(END_SECONDS)
            _unmount(place)


def answers(environment: Mapping[str, str], *what: str) -> bool:
    """Whether a command of docker's works; by default, whether there is a daemon."""
    command = ["docker", *(what or ("info",))]
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(command, env=environment, capture_output=True, check=False).returncode
    )


def _unmount(place: str) -> None:
    """What a daemon leaves mounted, the network namespace of containers without a network for one."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if (target := line.split()[1]).startswith(f"{place}/"):
            subprocess.run(["umount", target], check=True)


def _await(environment: Mapping[str, str], daemon: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not answers(environment):
        if daemon.poll() is not None or time.monotonic() > until:
            raise StackError(f"dockerd did not start, see {log}")
        time.sleep(0.5)
