"""How agent and audit talk: by small JSON files in a private folder, each written aside and renamed into place.

`<pid>.ask` holds one question, `<pid>.<number>.answer` its answer. The folder is of mode 0700, and the agent reads no
question that another user than its own or root has written.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from include.memory.errors import MemoryAuditError

FOLDER = "MILLRACE_MEMORY_FOLDER"
SWITCH = "MILLRACE_MEMORY_AGENT"
OFF = {"off", "0", "no", "false"}
SIGNAL = signal.SIGRTMIN + 6  # an agent's
MARK = "millrace-agents"  # a file that agents keep open, so that one can see from outside whose they are
STALE_SECONDS = 3600.0  # a question or an answer this old is nobody's any more


@dataclass(frozen=True)
class Ask:
    """A question to one incarnation. `count` reads the counters; `profile` also traces, counts objects and finds
    chains.

    `seconds` are those of the traced window; `longest_pause_seconds` bounds the collection.
    """

    number: str
    start_ticks: int
    act: Literal["count", "profile"] = "count"
    collect: bool = True
    longest_pause_seconds: float = 0.25
    seconds: float = 30.0
    parts: int = 3
    frames: int = 8
    most_trace_bytes: int = 4_000_000
    top: int = 10
    chains: int = 3
    chain_seconds: float = 10.0

    def checked(self) -> Ask:
        """Itself. Raises MemoryAuditError when it asks for more than an agent gives."""
        bounds = {
            "longest_pause_seconds": 5.0, "seconds": 300.0, "parts": 20, "frames": 50, "most_trace_bytes": 200_000_000,
            "top": 100, "chains": 20, "chain_seconds": 120.0,
        }  # fmt: skip
        for name, most in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise MemoryAuditError(f"{name} is {value!r}, and must be more than 0 and at most {most:g}")
        if self.act not in ("count", "profile"):
            raise MemoryAuditError(f"act is {self.act!r}, and must be count or profile")
        if not self.number.isalnum():
            raise MemoryAuditError(f"number is {self.number!r}, and must be letters and digits")
        return self


def default_folder(uid: int | None = None) -> Path:
    """Where a user's agents look: $MILLRACE_MEMORY_FOLDER, or a folder of that user's under the temporary one."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    # Not tempfile.gettempdir(): the watcher is to stay small, and that module takes 0.8 MB with what it imports.
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"millrace-memory-{os.getuid() if uid is None else uid}"


def switched_on() -> bool:
    """Whether $MILLRACE_MEMORY_AGENT lets the audit into this process."""
    return os.environ.get(SWITCH, "on").strip().lower() not in OFF


def make_private(folder: Path) -> None:
    """Make the folder, or check it. Raises MemoryAuditError when others could write there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    mine = found.st_uid == os.getuid() or os.getuid() == 0
    if not stat.S_ISDIR(found.st_mode) or not mine or found.st_mode & 0o077:
        raise MemoryAuditError(
            f"{folder} is not a private folder of this user: remove it, or name another in ${FOLDER}"
        )


def mark(folder: Path) -> int:
    """Open the folder's mark, for as long as the process lives; what it forks inherits it."""
    return os.open(folder / MARK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def ask(folder: Path, pid: int, question: Ask) -> Path:
    """Lay a question down for the process. Returns where the answer will be."""
    write(folder / f"{pid}.ask", asdict(question))
    return folder / f"{pid}.{question.number}.answer"


def take(folder: Path, pid: int, start_ticks: int) -> Ask | None:
    """The question that waits for this process, if there is one that it may trust; it is taken away."""
    file = folder / f"{pid}.ask"
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        trusted = os.fstat(descriptor).st_uid in (os.getuid(), 0)
        content = opened.read(10_000)
    file.unlink(missing_ok=True)
    question = Ask(**json.loads(content)).checked() if trusted else None
    return question if question and question.start_ticks == start_ticks else None


def write(file: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees all of it or nothing."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.getuid() == 0:
        os.fchown(descriptor, file.parent.stat().st_uid, -1)  # root asks for others: their agents must be able to read
    with os.fdopen(descriptor, "w") as opened:
        json.dump(content, opened, default=str)
    aside.replace(file)


def sweep(folder: Path) -> None:
    """Remove what nobody came for."""
    for file in folder.iterdir():
        try:
            if time.time() - file.lstat().st_mtime > STALE_SECONDS and file.suffix in (".ask", ".answer", ".tmp"):
                file.unlink()
        except FileNotFoundError:
            continue
