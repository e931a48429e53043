"""How agent and audit talk: by small JSON files in a private folder, each written aside and renamed into place.

`<pid>.ask` holds one question, `<pid>.<number>.answer` its answer. The folder is of mode 0700 and of the user whose
process it is: root uses none of somebody else, but to ask that user's own processes. No link is followed, no file that
was there before is written into, and the agent reads no question that another user than its own or root has written.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
MOST_QUESTION_BYTES, MOST_BYTES = 10_000, 100_000_000  # of a file that another process has written
NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_said: set[str] = set()


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
    """Make the folder, or check it. Raises MemoryAuditError when others could write there, or already have it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened_folder(folder, os.getuid()):
        pass


@contextmanager
def opened_folder(folder: Path, owner: int) -> Iterator[int]:
    """The folder, open, so that no other one takes its place meanwhile. Raises MemoryAuditError; FileNotFoundError.

    Root is no exception: it would do whatever the owner's links say.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_LINK)
    except (NotADirectoryError, PermissionError) as fault:
        raise _not_private(folder) from fault
    except OSError as fault:
        raise fault if isinstance(fault, FileNotFoundError) else _not_private(folder) from fault
    try:
        found = os.fstat(handle)
        if found.st_uid != owner or found.st_mode & 0o077:
            raise _not_private(folder)
        yield handle
    finally:
        os.close(handle)


def _not_private(folder: Path) -> MemoryAuditError:
    return MemoryAuditError(f"{folder} is not a private folder of this user: remove it, or name another in ${FOLDER}")


def say_refused(fault: MemoryAuditError) -> None:
    """Tell once in this process why it is judged from outside only: on stderr, which is in each component's log."""
    if str(fault) not in _said:
        _said.add(str(fault))
        with suppress(OSError, ValueError):
            print(f"memory audit: {fault}. Until then this process is not asked", file=sys.stderr)


def mark(folder: Path) -> int:
    """Open the folder's mark, for as long as the process lives; what it forks inherits it."""
    with opened_folder(folder, os.getuid()) as inside:
        return os.open(MARK, os.O_RDONLY | os.O_CREAT | NO_LINK, 0o600, dir_fd=inside)


def read(file: Path, owners: tuple[int, ...], most_bytes: int = MOST_BYTES) -> bytes:
    """A file of one of these users. Raises OSError, and MemoryAuditError for a link, a pipe, or somebody else's."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners or found.st_size > most_bytes:
            raise MemoryAuditError(f"{file} is no plain file of that user")
        return opened.read(most_bytes)


def ask(folder: Path, pid: int, question: Ask, owner: int | None = None) -> Path:
    """Lay a question down for the process, whose user is `owner`. Returns where the answer will be."""
    write(folder / f"{pid}.ask", asdict(question), owner)
    return folder / f"{pid}.{question.number}.answer"


def take(folder: Path, pid: int, start_ticks: int) -> Ask | None:
    """The question that waits for this process, if there is one that it may trust; it is taken away."""
    file = folder / f"{pid}.ask"
    try:
        content = read(file, (os.getuid(), 0), MOST_QUESTION_BYTES)
    except MemoryAuditError:
        content = None
    except OSError:
        return None
    file.unlink(missing_ok=True)
    question = None if content is None else Ask(**json.loads(content)).checked()
    return question if question and question.start_ticks == start_ticks else None


def write(file: Path, content: dict[str, Any], owner: int | None = None) -> None:
    """Write JSON so that a reader sees all of it or nothing. `owner`: whose folder it is; by default this user's.

    In an open folder, as root writes into those of others: a path could lead elsewhere by the time it is used.
    """
    owner = os.getuid() if owner is None else owner
    aside = f".{file.name}.{os.getpid()}.tmp"
    with opened_folder(file.parent, owner) as inside:
        with suppress(FileNotFoundError):  # of a process that died; a new file is nobody else's, nor a link
            os.unlink(aside, dir_fd=inside)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600, dir_fd=inside)
        with os.fdopen(handle, "w") as opened:
            if owner != os.getuid():
                os.fchown(handle, owner, -1)  # root asks for others: their agents must be able to read
            json.dump(content, opened, default=str)
        os.replace(aside, file.name, src_dir_fd=inside, dst_dir_fd=inside)


def sweep(folder: Path, owner: int | None = None) -> None:
    """Remove what nobody came for from a folder of that user, by default this one's."""
    with opened_folder(folder, os.getuid() if owner is None else owner) as inside:
        for name in os.listdir(inside):  # noqa: PTH208 (of an open folder)
            with suppress(FileNotFoundError):
                changed = os.stat(name, dir_fd=inside, follow_symlinks=False).st_mtime
                if time.time() - changed > STALE_SECONDS and name.endswith((".ask", ".answer", ".tmp")):
                    os.unlink(name, dir_fd=inside)
