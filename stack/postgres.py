"""A launcher for PostgreSQL on one machine: TCP on 127.0.0.1, passwords always, no unix socket.

    server = PostgresServer(Path("data"), settings={"fsync": "off"})
    server.start()
    psycopg.connect(server.dsn())
    server.stop()

The server outlives the object and even a killed caller: a later `PostgresServer` on the same folder
finds it by its `postmaster.pid` and can use or stop it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import psutil

from stack.binaries import account, find_binaries, reachable_folder, version_of
from stack.errors import StackError
from stack.ports import HOST, free_port, is_free
from stack.processes import children_of

StopMode = Literal["smart", "fast", "immediate"]
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
DEFAULTS = {
    "max_wal_size": "16GB",  # a checkpoint between load and index costs a second copy of the table in the WAL
    "min_wal_size": "2GB",  # a load writes into old WAL files again instead of making new ones
    "wal_buffers": "64MB",  # for two sessions that COPY at the same time (decision 6)
    "wal_init_zero": "off",  # a load that outgrows the old WAL files need not write the new ones twice
    "wal_writer_delay": "20ms",  # the WAL writer flushes, so that a COPY rarely has to
    "checkpoint_timeout": "15min",  # as for max_wal_size: a checkpoint during a load costs WAL
    "wal_compression": "off",
    "max_connections": "200",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "listen_addresses": HOST,
    "unix_socket_directories": "",
}
PASSWORD_FILE = "millrace_superuser_password"
START_SECONDS = 120.0  # after a crash in the middle of a load, its WAL is replayed first


class PostgresServer:
    """One PostgreSQL data folder and the server on it; the superuser is `postgres`.

    `port` None means any free one. `settings` are added to DEFAULTS. `binaries` is the folder with
    `initdb`; None means the first of $PG_BIN, the wheel, PATH and Debian's folders. `password` is the superuser's
    in a new data folder; None means one made at random.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        binaries: Path | None = None,
        password: str | None = None,
    ) -> None:
        self.binaries = find_binaries(str(binaries) if binaries else None)
        self.version = version_of(self.binaries)
        self._named = Path(data_dir).absolute()
        self.data_dir = reachable_folder(self._named)
        self.log_file = self._named.with_name(f"{self._named.name}.log")
        self.settings = {**DEFAULTS, **_memory_settings(), **(settings or {})}
        self._wanted_port = port
        self._first_password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of the running server."""
        lines = self._pid_lines()
        if len(lines) < 4:
            raise StackError(f"PostgreSQL is not running on {self.data_dir}")
        return int(lines[3])

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._postmaster()
        return process.pid if process else None

    def dsn(self, dbname: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """A connection URL; for the superuser the password is known already."""
        if password is None and user == "postgres":
            password = self._password()
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{HOST}:{self.port}/{dbname}"

    def running(self) -> bool:
        """Whether the server runs and takes connections."""
        return self._postmaster() is not None and self._status() == "ready"

    def start(self) -> None:
        """Make the data folder if there is none, start the server, return when it takes connections."""
        if self.running():
            return
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        self._check_version()
        deadline = time.monotonic() + START_SECONDS
        while not (self.running() or self._launch()):
            if time.monotonic() > deadline:
                raise StackError(f"PostgreSQL does not start, see {self.log_file}: {self._last_words()}")
            time.sleep(0.3)  # for memory or a port that the last server has not let go of

    def stop(self, mode: StopMode = "fast", timeout_seconds: float = 60.0) -> None:
        """Stop the server: `fast` rolls transactions back, `immediate` is a crash that the next start repairs."""
        process = self._postmaster()
        if process is not None:
            children = children_of(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(SIGNALS[mode])
            self._await_end(process, children, timeout_seconds)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again on the same port."""
        port = self.port
        self.stop(mode)
        self._wanted_port = self._wanted_port or port
        self.start()

    def destroy(self) -> None:
        """Stop the server and delete its data and log."""
        self.stop("immediate")
        shutil.rmtree(self.data_dir, ignore_errors=True)
        for log in (self.log_file, self.data_dir.with_name(f"{self.data_dir.name}.log")):
            log.unlink(missing_ok=True)
        if self._named.is_symlink():
            self._named.unlink()

    def _initialise(self) -> None:
        """Run initdb next to the data folder and rename, so that a killed initdb leaves no half-made server."""
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        user = account()
        user.own(fresh)
        password = self._first_password or secrets.token_urlsafe(24)
        with tempfile.NamedTemporaryFile("w", prefix="millrace-") as file:
            file.write(password)
            file.flush()
            user.own(Path(file.name))
            self._initdb(fresh, file.name)
        keep = fresh / PASSWORD_FILE
        keep.touch(mode=0o600)
        keep.write_text(password)
        user.own(keep)
        fresh.rename(self.data_dir)

    def _initdb(self, folder: Path, password_file: str) -> None:
        locale = ["--locale=C"]
        if self.version >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(self.binaries / "initdb"), "-D", str(folder), "-U", "postgres", "--auth=scram-sha-256"]
        command += [f"--pwfile={password_file}", "--encoding=UTF8", *locale]
        done = self._run(command)
        if done.returncode:
            full = "disk full" if "No space left" in done.stderr else ""
            raise StackError(f"initdb failed in {folder}: {full or ' '.join(done.stderr.split())[-300:]}")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        options = account().popen_options()
        return subprocess.run(command, cwd="/", env=_environment(), capture_output=True, text=True, **options)

    def _launch(self) -> bool:
        """Start the server once. False when another try may help: a port just taken, memory still in use."""
        if self._wanted_port and not is_free(self._wanted_port):
            if self._postmaster() is not None:  # Someone else starts it right now.
                return False
            raise StackError(f"port {self._wanted_port} is taken by another program, PostgreSQL needs it")
        settings = {**self.settings, "port": str(self._wanted_port or free_port())}
        command = [str(self.binaries / "postgres"), "-D", str(self.data_dir)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        options = account().popen_options()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd="/", env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **options,
            )  # fmt: skip
        return self._await_ready()

    def _await_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return self._may_try_again()
            lines = self._pid_lines()
            if lines and lines[0] == str(self._process.pid) and self._status() == "ready":
                return True
            time.sleep(0.05)
        raise StackError(f"PostgreSQL is not ready after {START_SECONDS:.0f} s, see {self.log_file}")

    def _may_try_again(self) -> bool:
        words = self._last_words()
        passing = ("pre-existing shared memory", "Address already in use", "could not bind", "lock file")
        if any(trouble in words for trouble in passing):
            return False
        raise StackError(f"PostgreSQL did not start, see {self.log_file}: {words}")

    def _check_version(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != str(self.version):
            raise StackError(
                f"{self.data_dir} was made by PostgreSQL {found}, the programs are {self.version}: "
                "set PG_BIN to that version, or delete it with `./run down --delete`"
            )

    def _postmaster(self) -> psutil.Process | None:
        """The server's process, checked by its command line, as a stale file may name a stranger."""
        lines = self._pid_lines()
        if self._process is not None:
            self._process.poll()
        try:
            process = psutil.Process(int(lines[0])) if lines else None
            if process and process.status() != psutil.STATUS_ZOMBIE and str(self.data_dir) in process.cmdline():
                return process
        except (psutil.Error, ValueError):
            pass
        return None

    def _await_end(self, process: psutil.Process, children: list[psutil.Process], seconds: float) -> None:
        if self._process is not None and self._process.pid == process.pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        _, alive = psutil.wait_procs([process, *children], timeout=seconds)
        # As an engine for containers does after its grace; the next start repairs what that leaves.
        for left in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        psutil.wait_procs(alive, timeout=10)

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _status(self) -> str:
        lines = self._pid_lines()
        return lines[7].strip() if len(lines) > 7 else ""

    def _password(self) -> str:
        return (self.data_dir / PASSWORD_FILE).read_text().strip()

    def _last_words(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()[-12:]
        except OSError:
            return ""
        faults = [line for line in lines if "FATAL" in line or "PANIC" in line or "could not" in line]
        return " | ".join(faults[-3:] or lines[-1:])


def _environment() -> dict[str, str]:
    """Nothing of the caller's: neither PG* variables nor locale may change what the server does."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _memory_settings() -> dict[str, str]:
    """512 MB of buffers where the machine has it; and shared memory in files where /dev/shm is tiny (containers)."""
    roomy = psutil.virtual_memory().total >= 4 << 30
    settings = {"shared_buffers": "512MB" if roomy else "128MB"}
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).total < 256 << 20:
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings
