"""Venvs of their own for contenders that are Python programs, each from its pins: `requirement  # name` a line."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 600.0


class Absent(Exception):
    """The contender can't be had here; the words say why."""


def pins(name: str, source: Path) -> list[str]:
    """The requirements of one contender."""
    lines = [line.partition("  # ") for line in source.read_text().splitlines()]
    return [requirement for requirement, _, of in lines if of == name]


def python_of(name: str, folder: Path, source: Path) -> Path:
    """The Python of a venv, made when it misses or its pins changed. Raises Absent when it can't be made."""
    home = folder / name
    python, stamp = home / "bin" / "python", home / "pins"
    requirements = pins(name, source)
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = Path(sys.executable).with_name("uv")
    venv.create(home, clear=True, with_pip=not uv.exists())
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if uv.exists():
        command = [str(uv), "pip", "install", "-q", "--system-certs", "--python", str(python)]
    install([*command, *requirements])
    stamp.write_text(wanted)
    return python


def install(command: Sequence[str], folder: Path | None = None) -> None:
    """Run an installer. Raises Absent with its last words when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Absent("not installed: it took too long") from None
    if done.returncode:
        raise Absent(f"not installed: {(done.stderr.strip().splitlines() or ['it failed'])[-1].strip()}"[:120])
