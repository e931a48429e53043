"""On what a result was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg

from stack.settings import REPOSITORY

SERVER_SETTINGS = ("shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "full_page_writes")


def host(folder: Path) -> dict[str, str]:
    """The computer, with the disk that the folder is on."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "disk": _disk(folder),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def server(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """PostgreSQL."""
    row = connection.execute("SELECT version()").fetchone()
    settings = connection.execute(
        "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [list(SERVER_SETTINGS)]
    ).fetchall()
    return {
        "PostgreSQL": str(row[0]).partition(" on ")[0] if row else "",
        "settings": ", ".join(f"{name}={value}" for name, value in settings),
    }


def software(packages: Sequence[str], pins: Path | None = None) -> dict[str, str]:
    """What runs here, and what the peers are installed from, where there are any."""
    here = {"Python": platform.python_version(), "packages": ", ".join(f"{name} {version(name)}" for name in packages)}
    if pins is None:
        return here
    lines = pins.read_text().splitlines()
    return here | {
        "peers": ", ".join(sorted({line.partition("  # ")[0] for line in lines if not line.startswith("#")}))
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _disk(folder: Path) -> str:
    """File system and kind of disk under the data folder."""
    mounts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    part = next((mounts[str(up)] for up in [folder, *folder.parents] if str(up) in mounts), None)
    if part is None:
        return "unknown"
    device = Path(part.device).name.rstrip("0123456789")
    spins = Path(f"/sys/block/{device}/queue/rotational")
    kind = {"0": "not rotating", "1": "rotating"}.get(spins.read_text().strip()) if spins.exists() else None
    return ", ".join(filter(None, [part.fstype, kind, f"{psutil.disk_usage(str(folder)).total / 1e9:.0f} GB"]))


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
