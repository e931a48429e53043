"""Which program builds images on this machine, and what it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from stack.errors import StackError

# Each with the command that tells whether it can work: a client of Docker alone, without its daemon, can't.
ENGINES = {"docker": ("info",), "podman": ("info",), "buildah": ("info",)}


@dataclass(frozen=True)
class Engine:
    """A program that builds images."""

    name: str

    def build(self, tag: str, folder: str, arguments: Mapping[str, str], *more: str) -> list[str]:
        """The command that builds a folder's Dockerfile."""
        own = {"docker": ["docker", "build"], "podman": ["podman", "build"], "buildah": ["buildah", "build"]}[self.name]
        if self.name != "docker":
            own += ["--format", "docker"]  # OCI's own format has no SHELL and no HEALTHCHECK
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        return [*own, "--network", "host", "--tag", tag, *given, *more, folder]


def find_engine(chosen: str = "") -> Engine:
    """The one that was asked for, or the first that works. Raises StackError."""
    for name, probe in ENGINES.items():
        if chosen in ("", name) and shutil.which(name) and _answers([name, *probe]):
            return Engine(name)
    raise StackError(f"{chosen or 'neither docker, podman nor buildah'} is there and works; install one of them")


def environment() -> dict[str, str]:
    """The caller's, with Docker's newer builder."""
    return {**os.environ, "DOCKER_BUILDKIT": "1"}


def _answers(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
