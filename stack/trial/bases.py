"""Images under the names that Dockerfile and compose file ask for, made of Debian where they can't be pulled.

A registry is asked first. Without one, debootstrap makes a Debian, and the Dockerfiles of `bases/` put Debian's own
Python, PostgreSQL, Redis and nginx on it. What is made stays, for the next trial.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.errors import StackError
from stack.trial.engine import PLUGINS, answers

DEBIAN = "millrace-debian:trixie"
MIRROR = "http://deb.debian.org/debian"
PYTHON = "3.13"  # that this Debian has
BASES = (f"python:{PYTHON}-slim", "postgres:18", "redis:8")
PROXY = "nginx:1.30"
FILES = Path(__file__).with_name("bases")
WASTE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def make(environment: Mapping[str, str], folder: Path, tags: Sequence[str] = BASES) -> None:
    """See to it that every base is there. Raises StackError."""
    for tag in tags:
        if answers(environment, "image", "inspect", tag) or answers(environment, "pull", tag):
            continue
        _debian(environment, folder)
        _build(environment, tag, tag.partition(":")[0])


def plugins(environment: Mapping[str, str], folder: Path) -> None:
    """Compose and Buildx, as Debian has them, where the machine's docker has none."""
    if answers(environment, "compose", "version") and answers(environment, "buildx", "version"):
        return
    _debian(environment, folder)
    _build(environment, "millrace-plugins", "plugins")
    target = Path(environment["DOCKER_CONFIG"]) / "cli-plugins"
    target.mkdir(parents=True, exist_ok=True)
    name = _docker(environment, "create", "millrace-plugins").strip()
    for plugin in PLUGINS:
        _docker(environment, "cp", f"{name}:/usr/libexec/docker/cli-plugins/{plugin}", str(target))
    _docker(environment, "rm", name)


def _debian(environment: Mapping[str, str], folder: Path) -> None:
    if answers(environment, "image", "inspect", DEBIAN):
        return
    if not shutil.which("debootstrap"):
        raise StackError("images can't be pulled here, and to make them takes debootstrap (Debian: debootstrap)")
    root = folder / "debian"
    shutil.rmtree(root, ignore_errors=True)
    _run(
        environment,
        "debootstrap",
        "--variant=minbase",
        "--include=ca-certificates,netbase,tzdata",
        "trixie",
        root,
        MIRROR,
    )
    for waste in WASTE:
        shutil.rmtree(root / waste, ignore_errors=True)
    tree = subprocess.Popen(["tar", "-C", root, "--exclude=./dev/*", "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(
        ["docker", "import", "-", DEBIAN], stdin=tree.stdout, env=environment, check=True, capture_output=True
    )
    shutil.rmtree(root)


def _build(environment: Mapping[str, str], tag: str, name: str) -> None:
    file = FILES / f"{name}.Dockerfile"
    # The machine's network: a bridge of a daemon that was just started may have no way to the mirror.
    _docker(environment, "build", "--network", "host", "--tag", tag, "--file", str(file), str(FILES))


def _docker(environment: Mapping[str, str], *arguments: str) -> str:
    return _run(environment, "docker", *arguments)


def _run(environment: Mapping[str, str], *command: str | Path) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{' '.join(map(str, command[:2]))}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
