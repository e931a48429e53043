"""Who Millrace's engine is compared with, and how each is had.

pyvips is installed into a venv of its own by `pins.txt`, sharp by `package-lock.json`, both under the benchmark's own
folder. Programs are taken from where Debian puts them, so that nothing else of the same name is measured.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.images import chain
from bench.images.team import Team
from bench.venvs import Absent, install, python_of
from include.images.recipes import Format
from stack.settings import REPOSITORY

HERE = Path(__file__).parent
PINS = HERE / "pins.txt"
NPM_FILES = ("package.json", "package-lock.json")
PROGRAMS = Path("/usr/bin")

Command = Callable[[Path], list[str]]  # of the benchmark's folder; raises Absent


@dataclass(frozen=True)
class Peer:
    """One contender. A slow one is measured on fewer pictures, one that is only in the table on the fewest."""

    name: str
    label: str
    command: Command
    slow: bool = False
    table_only: bool = False

    def team(self, folder: Path, forms: Sequence[Format]) -> Team:
        """Its two workers, to be started. Raises Absent."""
        words = [*self.command(folder), chain.order(forms)]
        return Team(words, environment(folder), folder / f"{self.name}.log")


def environment(folder: Path) -> dict[str, str]:
    """What all get: one thread a process, as there are as many processes as cores; Airflow away from the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VIPS", "MAGICK"))}
    threads = {"VIPS_CONCURRENCY": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    ours = {"AIRFLOW_HOME": str(folder / "airflow"), "BENCH_NODE": str(folder / "node")}
    return {**kept, **threads, **ours, "PYTHONPATH": str(REPOSITORY)}


def _python(script: str) -> Command:
    return lambda folder: [sys.executable, str(HERE / script)]


def _pyvips(folder: Path) -> list[str]:
    return [str(python_of("pyvips", folder / "venvs", PINS)), str(HERE / "vips_chain.py")]


def _sharp(folder: Path) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Absent("not installed: apt-get install nodejs npm")
    home = folder / "node"
    wanted = "".join((HERE / name).read_text() for name in NPM_FILES)
    if not (home / "installed").exists() or (home / "installed").read_text() != wanted:
        home.mkdir(parents=True, exist_ok=True)
        for name in NPM_FILES:
            shutil.copy(HERE / name, home / name)
        install([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], home)
        (home / "installed").write_text(wanted)
    return [node, str(HERE / "sharp_chain.mjs")]


def _program(kind: str, package: str, *names: str) -> Command:
    def command(folder: Path) -> list[str]:
        found = next((PROGRAMS / name for name in names if (PROGRAMS / name).exists()), None)
        if found is None:
            raise Absent(f"not installed: apt-get install {package}")
        return [sys.executable, str(HERE / "programs.py"), kind, str(found)]

    return command


MILLRACE = Peer("millrace", "Millrace, in a child process", _python("millrace.py"))
SHARP = Peer("sharp", "sharp, one decode, raw pixels between", _sharp)
PYVIPS = Peer("pyvips", "pyvips, one decode, thumbnails of thumbnails", _pyvips)
NAIVE = Peer("naive", "Pillow, open and LANCZOS a rendition", _python("naive.py"), slow=True)
PEERS = (
    MILLRACE, SHARP, PYVIPS, NAIVE,
    Peer("vipsthumbnail", "vipsthumbnail, a call a file",
         _program("vipsthumbnail", "libvips-tools", "vipsthumbnail"), slow=True, table_only=True),
    Peer("imagemagick", "ImageMagick, one call, scaled while decoding",
         _program("imagemagick", "imagemagick", "magick", "convert"), slow=True, table_only=True),
)  # fmt: skip
JUDGED = (MILLRACE, SHARP, PYVIPS, NAIVE)  # whose quality is measured
