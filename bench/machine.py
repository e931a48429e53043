"""On what a report was measured."""

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
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit or "unknown",
        "CPU": f"{(models or [platform.machine()])[0]}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "disk": _disk(folder),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def server(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """PostgreSQL."""
    ((words,),) = connection.execute("SELECT version()")
    names = list(SERVER_SETTINGS)
    settings = connection.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", [names])
    return {
        "PostgreSQL": words.partition(" on ")[0],
        "settings": ", ".join(f"{name}={value}" for name, value in settings),
    }


def software(packages: Sequence[str], pins: Path | None = None) -> dict[str, str]:
    """What runs here, and what contenders are installed from, where there are any."""
    lines = pins.read_text().splitlines() if pins else []
    peers = {line.partition("  # ")[0] for line in lines if not line.startswith("#")}
    return {
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        **({"peers": ", ".join(sorted(peers))} if peers else {}),
    }


def _disk(folder: Path) -> str:
    """File system and kind of disk under the data folder."""
    mounts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
    part = next(mounts[str(up)] for up in (folder, *folder.parents) if str(up) in mounts)
    spins = Path(f"/sys/block/{Path(part.device).name.rstrip('0123456789')}/queue/rotational")
    kind = {"0": "not rotating", "1": "rotating"}.get(spins.read_text().strip()) if spins.exists() else None
    return ", ".join(filter(None, [part.fstype, kind, f"{psutil.disk_usage(str(folder)).total / 1e9:.0f} GB"]))
