"""What the audit costs: a deep profile its host, the always-on part the machine, one audit of many processes itself.

A profile's host allocates all the time, with a large heap, and writes down when each of its steps ended: JSON, objects
made from rows as an ORM makes them, and pandas, half a millisecond to one a step. Its own full collections, of 0.2 s
each, are switched off: they would hide the pauses of a profile. Processes that are only watched do nothing of their
own, so that all they use is the agent's; the first has a large heap. Rounds of the watcher follow each other every few
seconds and are reckoned as one a minute, as in production.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Runs, Say, rounded
from bench.harness import PartOf
from bench.measure import cpu_of
from bench.memory.programs import HEAD, Program, running
from bench.report import Sheet
from include.memory.shipping.ship import CONNECTION
from include.memory.watcher import probe, spool
from include.memory.watcher.exchange import FOLDER
from include.memory.watcher.processes import NAMED, Pattern, find, sample_all
from include.memory.watcher.sample import sample
from include.memory.watcher.watch import EVERY_SECONDS
from stack import databases
from stack.errors import StackError
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

HOUR = 3600.0
PROFILED, QUICK_PROFILED = (5, 20.0), (1, 5.0)  # how many, and seconds that the worker is left alone before each
WATCHED, WATCH_EVERY_SECONDS, WATCHES, QUICK_WATCHES = 8, 3.0, 20, 10
PROCESSES, AUDITS, QUICK_AUDITS = 200, 7, 2
PASSWORDS = {"airflow": "airflow-secret", "ingest": "ingest-secret"}
Span = tuple[float, float]

# A million objects, 200 MB.
FILL = """
    HEAP = [{"number": number, "name": str(number), "parts": [number]} for number in range(450_000)]
"""
WORK = """
    import json
    from array import array
    import pandas

    gc.set_threshold(700, 10, 10**9)
    ROWS = [{"number": number, "customer": f"customer {number}", "price": number / 7} for number in range(60)]

    class Row:
        def __init__(self, number, customer, price):
            self.number, self.customer, self.price, self.lines = number, customer, price, []

    def rows_as_json():
        json.loads(json.dumps(ROWS * 4))

    def rows_as_objects():
        for one in [Row(**row) for _ in range(12) for row in ROWS]:
            one.lines.append(Order(one.number))

    def rows_as_a_frame():
        pandas.DataFrame(ROWS).groupby("number").sum()

    ACTS = [rows_as_json, rows_as_objects, rows_as_a_frame]
"""
WORK_ON = """
    assert agent.install(Path(sys.argv[1]))
    print("ready", flush=True)
    stop, stamps, number = Path(sys.argv[1]).parent / "stop", array("d"), 0
    while not stop.exists():
        for _ in range(100):
            ACTS[number % len(ACTS)]()
            stamps.append(time.monotonic())
            number += 1
    (Path(sys.argv[1]).parent / "stamps").write_bytes(stamps.tobytes())
"""
# As `python -m include.memory.watcher.watch` runs it, but as a child of this process, so that the kernel tells what it
# used, and beside no other Airflow that happens to run on this machine.
WATCHER = """
import sys
from pathlib import Path
from include.memory.watcher import watch
watch.AIRFLOW = ()
folder = Path(sys.argv[1])
(folder / watch.LOCK).touch()
watch.Watcher(folder, float(sys.argv[2])).run()
"""
# Imports what Airflow's processes import for the audit, after it has noted what it takes without that.
PLAIN = """
    import gc, os, sys, time
    from pathlib import Path
    import pandas
"""
ARM = """
    lines = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    from include.memory.inside import agent
    from include.memory.tasks import task
    from include.memory.watcher import watch
    assert agent.install(Path(sys.argv[1]))
    (Path(sys.argv[1]).parent / "before").write_text(str(before))
    gc.freeze()  # as Airflow does before it forks its workers
"""
FORK = """
    for _ in range(int(sys.argv[2]) - 1):
        if os.fork() == 0:
            break
    else:
        gc.unfreeze()
        print("ready", flush=True)
    while True:
        time.sleep(3600)
"""


@dataclass(frozen=True)
class Profile:
    """One profile, and the time before it, in which the worker was left alone. Pauses are gaps between two steps."""

    alone_pause_seconds: float
    pause_seconds: float
    seconds: float  # that the profile took
    lost_seconds: float  # of work
    agents_pause_seconds: float  # what the agent says itself, and what it did then
    agents_pause_in: str

    @property
    def lost_percent(self) -> float:
        """Of the work of an hour that holds one such profile."""
        return 100 * self.lost_seconds / HOUR


@dataclass(frozen=True)
class Watch:
    """The always-on part: seconds of a processor a round, and bytes. `shipping` is what the watcher's child used."""

    rounds: int
    watcher_seconds: float
    shipping_seconds: float
    agent_seconds: float
    watcher_bytes: int
    growth_bytes: int

    @property
    def percent(self) -> float:
        """Of one core, with a round a minute."""
        return 100 * (self.watcher_seconds + self.shipping_seconds + self.agent_seconds) / EVERY_SECONDS

    @property
    def megabytes(self) -> float:
        """The watcher's own memory, and what the agent adds to a process."""
        return (self.watcher_bytes + self.growth_bytes) / 1e6


@dataclass(frozen=True)
class Audit:
    """Seconds of one audit of so many processes."""

    processes: int
    find_seconds: float
    sample_seconds: float
    count_seconds: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.find_seconds + self.sample_seconds + self.count_seconds


Profiles = Runs[str, Profile]
Audits = Runs[str, Audit]


@contextmanager
def forked(processes: int, body: str, head: str = HEAD) -> Iterator[Program]:
    """A program that is many processes; all of them end."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-idle-") as place,
        running(body, Path(place), str(processes), head=head, tail=FORK) as program,
    ):
        try:
            yield program
        finally:
            program.end_children()


def profile(scale: tuple[int, float], say: Say) -> Profiles:
    """Leave the worker alone and profile it, in turn."""
    rounds, alone_seconds = scale
    spans: Runs[str, tuple[Span, Span, float, str]] = Runs()

    def one() -> tuple[Span, Span, float, str]:
        began = time.monotonic()
        time.sleep(alone_seconds)
        asked = time.monotonic()
        answer = probe.profile(program.incarnation, folder=program.folder)
        ended = time.monotonic()
        say(f"  a profile of {ended - asked:.0f} s")
        return (began, asked), (asked, ended), answer["longest_pause_seconds"], answer["longest_pause_in"]

    with (
        tempfile.TemporaryDirectory(prefix="millrace-cost-") as place,
        running(FILL + WORK, Path(place), tail=WORK_ON) as program,
    ):
        time.sleep(2.0)
        spans.take_turns({"": one}, rounds)
        Path(place, "stop").touch()
        program.process.wait(timeout=60)
        steps = array("d", Path(place, "stamps").read_bytes())
    found: Profiles = Runs()
    found.by[""] = [judge(steps, *one) for one in spans.by[""]]
    return found


def judge(steps: Sequence[float], alone: Span, profiled: Span, pause: float, pause_in: str) -> Profile:
    """Compare the steps of two spans of time."""
    rate = _count(steps, alone) / (alone[1] - alone[0])
    seconds = profiled[1] - profiled[0]
    lost = seconds - _count(steps, profiled) / rate
    return Profile(longest_gap(steps, alone), longest_gap(steps, profiled), seconds, lost, pause, pause_in)


def _count(steps: Sequence[float], span: Span) -> int:
    return bisect_right(steps, span[1]) - bisect_left(steps, span[0])


def longest_gap(steps: Sequence[float], span: Span) -> float:
    """The longest time without the end of a step that ends within the span."""
    begin, end = bisect_left(steps, span[0]), bisect_right(steps, span[1])
    return max((steps[at] - steps[at - 1] for at in range(max(begin, 1), end)), default=span[1] - span[0])


def watch(folder: Path, rounds: int, say: Say) -> Watch:
    """Let the watcher work for so many rounds. Raises StackError when it does not."""
    server = PostgresServer(folder / "postgres", settings={"fsync": "off", "shared_buffers": "128MB"})
    server.start()
    try:
        databases.prepare(server.dsn(), PASSWORDS)
        dsn = server.dsn("warehouse", "ingest", PASSWORDS["ingest"])
        databases.migrate_warehouse(dsn)
        with forked(WATCHED, FILL + ARM, PLAIN) as program:
            found = _watch(program, dsn, rounds)
    finally:
        server.destroy()
    say(f"  {found.rounds} rounds: {found.percent:.2f} % of a core, {found.megabytes:.1f} MB")
    return found


def _watch(program: Program, dsn: str, rounds: int) -> Watch:
    pid, before = program.process.pid, int((program.folder.parent / "before").read_text())
    watched = {FOLDER: str(program.folder), NAMED: json.dumps({"worker": str(program.source)}), CONNECTION: dsn}
    command = [sys.executable, "-S", "-c", WATCHER, str(program.folder), str(WATCH_EVERY_SECONDS)]
    first = cpu_of(pid)[0]
    watcher = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **watched})
    try:
        time.sleep(2 * WATCH_EVERY_SECONDS)  # what it does first is no round like the others
        began, agent_began = cpu_of(watcher.pid), cpu_of(pid)[0]
        time.sleep(rounds * WATCH_EVERY_SECONDS)
        ended, agent_ended = cpu_of(watcher.pid), cpu_of(pid)[0]
        if watcher.poll() is not None or agent_ended == first or spool.waiting(program.folder)[1:]:
            raise StackError("the watcher has not watched, or its child has brought nothing to the warehouse")
        own, childs = ((late - early) / rounds for early, late in zip(began, ended, strict=True))
        used, grown = sample(watcher.pid).used_bytes, sample(pid).anonymous_bytes - before
        return Watch(rounds, own, childs, (agent_ended - agent_began) / rounds, used, grown)
    finally:
        watcher.kill()
        watcher.wait()


def audit_many(processes: int = PROCESSES, rounds: int = AUDITS) -> Audits:
    """Find them, sample them and have them count, some times. Raises StackError when some are missed."""

    def audit() -> Audit:
        began = time.perf_counter()
        found = find([Pattern("worker", str(program.source))], older_than_seconds=0.0)
        at_found = time.perf_counter()
        taken = sample_all(found)
        at_sampled = time.perf_counter()
        answers = probe.count_all([one.incarnation for one, _ in taken.samples], folder=program.folder)
        ended = time.perf_counter()
        if len(answers.found) < processes:
            raise StackError(f"of {processes} processes, {len(found)} were found and {len(answers.found)} answered")
        return Audit(len(found), at_found - began, at_sampled - at_found, ended - at_sampled)

    found: Audits = Runs()
    with forked(processes, "    assert agent.install(Path(sys.argv[1]))\n") as program:
        found.take_turns({"": audit}, rounds)
    return found


def sheets_of_profiles(found: Profiles) -> list[Sheet]:
    """One line a profile."""
    cells: dict[str, Callable[[Profile], str]] = {
        "longest pause alone, ms": _ms("alone_pause_seconds"), "longest pause profiled, ms": _ms("pause_seconds"),
        "the agent's own longest, ms": _ms("agents_pause_seconds"), "in": lambda one: one.agents_pause_in,
        "profile, s": lambda one: f"{one.seconds:.1f}", "work lost, s": lambda one: f"{one.lost_seconds:.1f}",
        "of an hour, %": lambda one: f"{one.lost_percent:.2f}",
    }  # fmt: skip
    title = "A deep profile of a worker with a million objects that allocates all the time"
    return [Sheet.numbered(title, "profile", found.by[""], cells)]


def sheets_of_watch(found: Watch) -> list[Sheet]:
    """One line a part."""
    parts = {
        "watcher": (found.watcher_seconds, f"{found.watcher_bytes / 1e6:.1f}"),
        "its child, which brings samples to the warehouse": (found.shipping_seconds, "ends each time"),
        "agent in a process of a million objects": (found.agent_seconds, f"{found.growth_bytes / 1e6:.1f}"),
    }
    rows = [[name, f"{seconds * 1e3:.1f}", size] for name, (seconds, size) in parts.items()]
    rows.append(["in all, a round a minute", f"{found.percent:.2f} % of a core", f"{found.megabytes:.1f}"])
    title = f"The always-on part beside {WATCHED} processes, {found.rounds} rounds"
    return [Sheet(title, ["part", "CPU ms a round", "MB"], rows)]


def sheets_of_audits(found: Audits) -> list[Sheet]:
    """One line an audit."""
    cells: dict[str, Callable[[Audit], str]] = {
        "processes": lambda one: str(one.processes), "found, ms": _ms("find_seconds"),
        "sampled, ms": _ms("sample_seconds"), "counted inside, ms": _ms("count_seconds"), "in all, ms": _ms("seconds"),
    }  # fmt: skip
    return [Sheet.numbered("One audit of many processes", "audit", found.by[""], cells)]


def _ms(of: str) -> Callable[[object], str]:
    return lambda one: f"{getattr(one, of) * 1e3:.0f}"


def figures_of_profiles(found: Profiles | None) -> list[Figure]:
    """Medians over the profiles."""
    found = found or Runs()
    pause = rounded(found.median("", lambda one: one.pause_seconds * 1e3), 1)
    lost = rounded(found.median("", lambda one: one.lost_percent), 2)
    return [
        Figure("deep profile, longest pause of an allocation-heavy worker, ms", pause, 250.0, 50.0, unit="ms"),
        Figure("deep profile, work lost in an hour that holds one, %", lost, 3.0, 1.0, unit="%"),
    ]


def figures_of_watch(found: Watch | None) -> list[Figure]:
    """CPU and memory. A few rounds are too few to tell the CPU of one."""
    percent, megabytes = (found.percent, found.megabytes) if found else (None, None)
    return [
        Figure("always-on part, % of a core", rounded(percent, 2), 1.0, 0.3, unit="%", full_size=True),
        Figure("always-on part, MB", rounded(megabytes, 1), 10.0, 5.0, unit="MB"),
    ]


def figures_of_audits(found: Audits | None) -> list[Figure]:
    """Medians over the audits."""
    found = found or Runs()
    sampled = rounded(found.median("", lambda one: one.sample_seconds), 3)
    whole = rounded(found.median("", lambda one: one.seconds), 3)
    return [
        Figure(f"{PROCESSES} processes sampled, s", sampled, 5.0, 1.0, unit="s"),
        Figure(f"{PROCESSES} processes found, sampled and counted inside, s", whole, 5.0, 1.0, unit="s"),
    ]


WATCH = PartOf(
    lambda bench: watch(bench.folder, QUICK_WATCHES if bench.quick else WATCHES, bench.say),
    sheets_of_watch, figures_of_watch,
)  # fmt: skip
PROFILES = PartOf(
    lambda bench: profile(QUICK_PROFILED if bench.quick else PROFILED, bench.say),
    sheets_of_profiles, figures_of_profiles,
)  # fmt: skip
MANY = PartOf(
    lambda bench: audit_many(rounds=QUICK_AUDITS if bench.quick else AUDITS), sheets_of_audits, figures_of_audits
)
