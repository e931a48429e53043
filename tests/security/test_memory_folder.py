"""The folder of the memory audit: root's watcher and agents do nothing that another user's links say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from include.memory.errors import BadAnswer, MemoryAuditError
from include.memory.watcher import exchange, probe, spool, suspects, watch
from include.memory.watcher.exchange import MARK, STALE_SECONDS, Ask
from tests.memory.programs import INNOCENT, running

NOBODY = 65534
BOTH = "from pathlib import Path; import sys; folder = Path(sys.argv[1])\n"
INSTALL = BOTH + "from include.memory.inside import agent; print(agent.install(folder))"
ENSURE = BOTH + "from include.memory.watcher import watch; print(watch.ensure(folder))"
WATCH = BOTH + "from include.memory.watcher.watch import Watcher; Watcher(folder, 60)"


def told(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a process of this user says that takes the folder for its own."""
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=Path(__file__).parents[2],
        env={**os.environ, "MILLRACE_MEMORY_AGENT": "on"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of this user that is long enough to be cut."""
    file = tmp_path / "victim"
    file.write_bytes(b"x" * 2_000_000)
    return file


@pytest.fixture
def planted(tmp_path: Path, victim: Path) -> Path:
    """A folder of mode 0700 in which every name that a process opens leads elsewhere."""
    folder = tmp_path / "planted"
    folder.mkdir(mode=0o700)
    for name in (watch.LOG, watch.LOCK, watch.BELL, suspects.FILE, "7.ask"):
        (folder / name).symlink_to(victim)
    (folder / MARK).symlink_to(tmp_path / "made")
    return folder


@pytest.mark.root
@pytest.mark.parametrize("program", [INSTALL, ENSURE])
def test_root_takes_no_folder_of_somebody_else_and_says_so(program: str, planted: Path, victim: Path) -> None:
    os.chown(planted, NOBODY, -1)
    done = told(program, planted)
    assert done.stdout == "False\n"
    assert f"memory audit: {planted} is not a private folder of this user" in done.stderr
    assert "MILLRACE_MEMORY_FOLDER" in done.stderr
    assert victim.stat().st_size == 2_000_000
    assert not (planted.parent / "made").exists()
    with pytest.raises(MemoryAuditError):
        spool.put("samples", {}, planted)
    assert not (planted / "spool").exists()


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_folder_that_is_not_private_is_refused_aloud(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "agents"
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "link":
        (tmp_path / "private").mkdir(mode=0o700)
        folder.symlink_to("private")
    else:
        folder.write_text("")
    for program in (INSTALL, ENSURE):
        done = told(program, folder)
        assert (done.stdout, "is not a private folder" in done.stderr) == ("False\n", kind != "file"), done.stderr


def test_a_folder_of_our_own_is_taken_without_a_word(tmp_path: Path) -> None:
    done = told(INSTALL, tmp_path / "agents")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_no_link_is_followed_in_our_own_folder_either(planted: Path, victim: Path) -> None:
    assert told(ENSURE, planted).stdout == "False\n"
    assert told(INSTALL, planted).stdout == "False\n"
    assert "Too many levels of symbolic links" in told(WATCH, planted).stderr
    assert exchange.take(planted, 7, 1) is None
    assert suspects.read(planted) == set()
    watch.ring(planted)
    assert victim.read_bytes() == b"x" * 2_000_000
    assert not (planted.parent / "made").exists()


def test_what_is_written_takes_the_place_of_a_link(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "agents"
    exchange.make_private(folder)
    for name in ("x.json", f".x.json.{os.getpid()}.tmp"):
        (folder / name).symlink_to(victim)
    exchange.write(folder / "x.json", {"a": 1})
    assert (folder / "x.json").read_text() == '{"a": 1}'
    assert not (folder / "x.json").is_symlink()
    assert victim.stat().st_size == 2_000_000


@pytest.mark.root
def test_root_asks_others_in_their_own_folder_only(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "agents"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, -1)
    file = exchange.ask(folder, 7, Ask("abc", 1), NOBODY)
    assert (folder / "7.ask").stat().st_uid == NOBODY, "their agent can read it"
    assert file == folder / "7.abc.answer"
    with pytest.raises(MemoryAuditError, match="not a private folder"):
        exchange.ask(folder, 7, Ask("abc", 1))
    (tmp_path / "swapped").symlink_to(folder)
    with pytest.raises(MemoryAuditError, match="not a private folder"):
        exchange.ask(tmp_path / "swapped", 7, Ask("abc", 1), NOBODY)


def test_what_is_swept_is_what_lies_there(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "agents"
    exchange.make_private(folder)
    old = time.time() - STALE_SECONDS - 10
    (folder / "1.ask").symlink_to(victim)
    os.utime(folder / "1.ask", (old, old), follow_symlinks=False)
    exchange.sweep(folder)
    assert list(folder.iterdir()) == []
    assert victim.exists()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(MemoryAuditError):
        exchange.sweep(tmp_path / "link")


ANSWERS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda file, victim: file.symlink_to(victim),
    "pipe": lambda file, victim: os.mkfifo(file),
    "folder": lambda file, victim: file.mkdir(),
    "nonsense": lambda file, victim: file.write_text("nonsense"),
}


@pytest.mark.parametrize("kind", ["link", "pipe", "nonsense"])
def test_an_answer_that_is_none_is_not_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor waited for: a pipe would hold the watcher for ever."""
    secret = tmp_path / "secret"
    secret.write_text('{"number": "aa", "counters": "hidden"}')
    monkeypatch.setattr(probe, "_number", lambda: "aa")
    with running(INNOCENT["ring"], tmp_path) as program:
        ANSWERS[kind](program.folder / f"{program.incarnation.pid}.aa.answer", secret)
        began = time.monotonic()
        with pytest.raises(BadAnswer) as said:
            probe.count(program.incarnation, folder=program.folder)
        assert "hidden" not in str(said.value)
        assert time.monotonic() - began < 5
    assert secret.exists()


@pytest.mark.root
def test_a_file_of_somebody_else_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "suspects.json"
    file.write_text("{}")
    os.chown(file, NOBODY, -1)
    with pytest.raises(MemoryAuditError, match="no plain file"):
        exchange.read(file, (os.getuid(),))
    assert exchange.read(file, (NOBODY,)) == b"{}"
