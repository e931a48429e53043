"""The long-lived processes of a deployment, found by the pattern of their command line."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.memory.errors import MemoryAuditError, ProcessGone
from include.memory.watcher.exchange import MARK, default_folder
from include.memory.watcher.sample import PROC, TICKS_PER_SECOND, Incarnation, Sample, incarnation_of, parent_of, sample

LONG_LIVED_SECONDS = 60.0
NAMED = "MILLRACE_MEMORY_PROCESSES"


@dataclass(frozen=True)
class Pattern:
    """A role, and the regular expression that finds its processes; it is searched in the command line, as one text.

    Where `parent` is given, it must be found in the parent's command line too.
    """

    role: str
    expression: str
    parent: str = ""

    def fits(self, command: str, parent: Callable[[], str] = str) -> bool:
        """Whether a process and its parent, by their command lines, are of this role; the parent's is seldom asked."""
        if re.search(self.expression, command) is None:
            return False
        return not self.parent or re.search(self.parent, parent()) is not None


CELERY = r"^\[celeryd: .*MainProcess|airflow celery worker( |$)"
# The first that fits names the role. Airflow's supervisors and task runners are short-lived, so no pattern is theirs;
# but a child of Celery's is called a supervisor from its first task on, and before as its parent is.
AIRFLOW: tuple[Pattern, ...] = (
    Pattern("executor-worker", r"^airflow worker -- LocalExecutor"),
    Pattern("celery-child", rf"^\[celeryd: .*ForkPoolWorker-\d+|^airflow supervisor: |{CELERY}", parent=CELERY),
    Pattern("celery-parent", CELERY),
    Pattern("api-server", r"^airflow api_server|^gunicorn: .*airflow|airflow api-server( |$)"),
    Pattern("serve-logs", r"^airflow serve-logs"),
    Pattern("scheduler", r"airflow scheduler( |$)"),
    Pattern("dag-processor", r"airflow dag-processor( |$)"),
    Pattern("triggerer", r"airflow triggerer( |$)"),
)


def named() -> tuple[Pattern, ...]:
    """Patterns beside Airflow's own, by $MILLRACE_MEMORY_PROCESSES: JSON of role to expression.

    Raises MemoryAuditError when it is something else.
    """
    text = os.environ.get(NAMED) or "{}"
    try:
        found = tuple(Pattern(role, expression) for role, expression in json.loads(text).items())
        for pattern in found:
            re.compile(pattern.expression)
    except (ValueError, AttributeError, TypeError, re.error) as error:
        raise MemoryAuditError(
            f'${NAMED} is {text!r}, and must be JSON of roles and regular expressions, as {{"consumer": "consume_.*"}}:'
            f" {error}"
        ) from error
    return found


@dataclass(frozen=True)
class Found:
    """A process of a role. `command` is its command line, arguments parted by spaces."""

    role: str
    incarnation: Incarnation
    command: str


@dataclass(frozen=True)
class Round:
    """One look at every process of a deployment; `unread` names those that ended meanwhile."""

    samples: tuple[tuple[Found, Sample], ...]
    unread: tuple[str, ...]
    seconds: float


def find(
    patterns: Sequence[Pattern] = AIRFLOW, *, older_than_seconds: float = LONG_LIVED_SECONDS, proc: Path = PROC
) -> list[Found]:
    """The processes of this PID namespace that fit a pattern and have lived for a while, by role and id.

    Processes of another namespace (another container) cannot be seen: each samples its own. Two Airflows on one machine
    are told apart by user and by the folders of their agents. Processes that the configuration names are anybody's.
    """
    born_before = (time.clock_gettime(time.CLOCK_BOOTTIME) - older_than_seconds) * TICKS_PER_SECOND
    found = []
    for pid in _pids(proc):
        command = command_of(pid, proc)
        if not command or pid == os.getpid():
            continue
        try:
            pattern = _pattern_of(pid, command, patterns, proc)
            if pattern is None or (pattern in AIRFLOW and _of_another(pid, proc)):
                continue
            incarnation = incarnation_of(pid, proc)
        except ProcessGone:
            continue
        if incarnation.start_ticks <= born_before:
            found.append(Found(pattern.role, incarnation, command))
    return sorted(found, key=lambda one: (one.role, one.incarnation.pid))


def sample_all(found: Sequence[Found], proc: Path = PROC) -> Round:
    """Look at each once. One that ended, or whose id went to another process, is named and left out."""
    began = time.monotonic()
    samples, unread = [], []
    for one in found:
        try:
            taken = sample(one.incarnation.pid, proc)
        except ProcessGone as gone:
            unread.append(f"{one.role}: {gone}")
            continue
        if taken.incarnation == one.incarnation:
            samples.append((one, taken))
        else:
            unread.append(f"{one.role}: process {one.incarnation.pid} has ended, and another process has its id now")
    return Round(tuple(samples), tuple(unread), time.monotonic() - began)


def command_of(pid: int, proc: Path = PROC) -> str:
    """The command line as one text; empty for a thread of the kernel and for a process that has ended."""
    try:
        content = (proc / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    return content.rstrip(b"\0 ").replace(b"\0", b" ").decode(errors="replace")


def _pattern_of(pid: int, command: str, patterns: Sequence[Pattern], proc: Path) -> Pattern | None:
    def parent() -> str:
        return command_of(parent_of(pid, proc), proc)

    return next((pattern for pattern in patterns if pattern.fits(command, parent)), None)


def _of_another(pid: int, proc: Path) -> bool:
    """Whether it is another user's, or an agent is inside that looks into another folder than this deployment's.

    Where that may not be read (Airflow's workers are not dumpable), its parent is asked.
    """
    try:
        if (proc / str(pid)).stat().st_uid != os.getuid():
            return True
        folder = _agents_folder(pid, proc)
    except OSError:
        return True  # it has ended
    return folder is not None and folder != default_folder().resolve()


def _agents_folder(pid: int, proc: Path) -> Path | None:
    """Where the agent inside looks, or the one in its nearest parent that may be read; None where there is none."""
    folder = proc / str(pid) / "fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208
    except PermissionError:
        parent = parent_of(pid, proc)
        return _agents_folder(parent, proc) if parent > 1 else None
    for number in numbers:
        try:
            place = os.readlink(folder / number)  # noqa: PTH115 (no path object for each of thousands of files)
        except OSError:
            continue
        if place.endswith(f"/{MARK}"):
            return Path(place).parent
    return None


def _pids(proc: Path) -> Iterator[int]:
    return (int(name) for name in os.listdir(proc) if name.isdigit())  # noqa: PTH208
