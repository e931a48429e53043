"""Free places on this machine: TCP ports, and folders for data that need not survive."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path

HOST = "127.0.0.1"
SHARED = Path("/tmp")  # by all stacks of the machine, whatever $TMPDIR is
MEMORY = Path("/dev/shm")
NEEDED_BYTES = 8 << 30  # that the disk in memory must have free: a server alone may keep 1 GB of WAL


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def reserve(port: int) -> int | None:
    """Keep other stacks of this machine off a port until the returned handle is closed; None when one has it.

    A server listens only seconds after its port was chosen. Who inherits the handle holds the port too.
    """
    file = SHARED / f"millrace-port-{port}"
    try:
        # An existing file may be another user's: it is only read.
        handle = os.open(file, os.O_RDONLY if file.exists() else os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def reserve_free(*wanted: int) -> tuple[int, int]:
    """The first of `wanted` that is free and not reserved, else another; and the handle that reserves it."""
    for port in wanted:
        if is_free(port) and (handle := reserve(port)) is not None:
            return port, handle
    while True:
        port = free_port()
        if (handle := reserve(port)) is not None:
            return port, handle


def free_port(*wanted: int) -> int:
    """The first of `wanted` that is free, else one that the system picks."""
    for port in wanted:
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def scratch_folder(prefix: str) -> Path:
    """A new folder, in memory where there is room and $TMPDIR does not say otherwise. Other users may enter it, as
    PostgreSQL runs as one of them where this one is root.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=None if "TMPDIR" in os.environ else scratch_place()))
    folder.chmod(0o755)
    return folder


def scratch_place() -> Path | None:
    """The disk in memory, where there is room, as each test makes a database; or None for where temporary files are."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES:
        return MEMORY
    return None
