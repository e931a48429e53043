"""What the audit costs: a deep profile its host, the always-on part the machine, one audit of many processes itself.

A profile's host allocates all the time, with a large heap, and writes down when each of its steps ended. Its own full
collections, of 0.2 s each, are switched off: they would hide the pauses of a profile. Processes that are only watched
do nothing of their own, so that all they use is the agent's; rounds are reckoned as one a minute, as in production.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from bench.figures import Figure, Row, Runs, rounded
from bench.harness import Bench, PartOf
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
PROFILED = ((5, 20.0), (1, 5.0))  # how many, and seconds that the worker is left alone before each; then quick
WATCHED, WATCH_EVERY_SECONDS, WATCHES = 8, 3.0, (20, 10)
PROCESSES, AUDITS = 200, (7, 2)
PAUSE, LOST = "longest pause profiled, ms", "of an hour, %"
ALL, MS, CORE, MB = "in all, a round a minute", "CPU ms a round", "% of a core", "MB"
STAGES = ("found, ms", "sampled, ms", "counted inside, ms", "in all, ms")
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


def measure_profiles(bench: Bench) -> Runs:
    """Leave the worker alone and profile it, in turn."""
    found, spans, (rounds, alone_seconds) = Runs(), list[tuple[Span, Span]](), PROFILED[bench.quick]

    def profile() -> Row:
        began = time.monotonic()
        time.sleep(alone_seconds)
        asked = time.monotonic()
        answer = probe.profile(program.incarnation, folder=program.folder)
        ended = time.monotonic()
        bench.say(f"  a profile of {ended - asked:.0f} s")
        spans.append(((began, asked), (asked, ended)))
        return {"the agent's own longest, ms": answer["longest_pause_seconds"] * 1e3, "in": answer["longest_pause_in"]}

    with (
        tempfile.TemporaryDirectory(prefix="millrace-cost-") as place,
        running(FILL + WORK, Path(place), tail=WORK_ON) as program,
    ):
        time.sleep(2.0)
        found.take_turns({"": profile}, rounds)
        Path(place, "stop").touch()
        program.process.wait(timeout=60)
        steps = array("d", Path(place, "stamps").read_bytes())
    found.by[""] = [row | judge(steps, *span) for row, span in zip(found.by[""], spans, strict=True)]
    return found


def judge(steps: Sequence[float], alone: Span, profiled: Span) -> Row:
    """Compare the steps of two spans of time. Pauses are gaps between two steps."""
    rate, seconds = _count(steps, alone) / (alone[1] - alone[0]), profiled[1] - profiled[0]
    lost = seconds - _count(steps, profiled) / rate
    return {
        "longest pause alone, ms": longest_gap(steps, alone) * 1e3, PAUSE: longest_gap(steps, profiled) * 1e3,
        "profile, s": seconds, "work lost, s": lost, LOST: 100 * lost / HOUR,
    }  # fmt: skip


def _count(steps: Sequence[float], span: Span) -> int:
    return bisect_right(steps, span[1]) - bisect_left(steps, span[0])


def longest_gap(steps: Sequence[float], span: Span) -> float:
    """The longest time without the end of a step that ends within the span."""
    begin, end = bisect_left(steps, span[0]), bisect_right(steps, span[1])
    return max((steps[at] - steps[at - 1] for at in range(max(begin, 1), end)), default=span[1] - span[0])


def measure_watch(bench: Bench) -> dict[str, Row]:
    """Let the watcher work for some rounds; what each part of it took. Raises StackError when it does not work."""
    server = PostgresServer(bench.folder / "postgres", settings={"fsync": "off", "shared_buffers": "128MB"})
    server.start()
    try:
        databases.prepare(server.dsn(), PASSWORDS)
        dsn = server.dsn("warehouse", "ingest", PASSWORDS["ingest"])
        databases.migrate_warehouse(dsn)
        with forked(WATCHED, FILL + ARM, PLAIN) as program:
            return _watch(program, dsn, WATCHES[bench.quick])
    finally:
        server.destroy()


def _watch(program: Program, dsn: str, rounds: int) -> dict[str, Row]:
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
        if watcher.poll() is not None or agent_ended == first or len(spool.waiting(program.folder)) > rounds / 2:
            raise StackError("the watcher has not watched, or its child has brought nothing to the warehouse")
        own, child_figures = ((late - early) / rounds for early, late in zip(began, ended, strict=True))
        used, grown = sample(watcher.pid).used_bytes, sample(pid).anonymous_bytes - before
        return always_on(own, child_figures, (agent_ended - agent_began) / rounds, used, grown)
    finally:
        watcher.kill()
        watcher.wait()


def always_on(own: float, child_figures: float, agents: float, used: int, grown: int) -> dict[str, Row]:
    """Of seconds of a processor a round, of which there is one a minute, and bytes."""
    return {
        "watcher": {MS: own * 1e3, MB: used / 1e6},
        "its child, which brings samples to the warehouse": {MS: child_figures * 1e3, MB: "ends each time"},
        "agent in a process of a million objects": {MS: agents * 1e3, MB: grown / 1e6},
        ALL: {CORE: 100 * (own + child_figures + agents) / EVERY_SECONDS, MB: (used + grown) / 1e6},
    }


def audits(processes: int, rounds: int) -> Runs:
    """Find them, sample them and have them count, some times. Raises StackError when some are missed."""

    def audit() -> Row:
        times = [time.perf_counter()]
        found = find([Pattern("worker", str(program.source))], older_than_seconds=0.0)
        times.append(time.perf_counter())
        taken = sample_all(found)
        times.append(time.perf_counter())
        answers = probe.count_all([one.incarnation for one, _ in taken.samples], folder=program.folder)
        times.append(time.perf_counter())
        if len(answers.found) < processes:
            raise StackError(f"of {processes} processes, {len(found)} were found and {len(answers.found)} answered")
        parts = [1e3 * (late - early) for early, late in pairwise(times)]
        return {"processes": len(found), **dict(zip(STAGES, [*parts, sum(parts)], strict=True))}

    runs = Runs()
    with forked(processes, "    assert agent.install(Path(sys.argv[1]))\n") as program:
        runs.take_turns({"": audit}, rounds)
    return runs


def figures_of_profiles(found: Runs | None) -> list[Figure]:
    """Medians over the profiles."""
    pause, lost = ((found or Runs()).median("", what) for what in (PAUSE, LOST))
    name = "deep profile, longest pause of an allocation-heavy worker, ms"
    return [
        Figure(name, rounded(pause, 1), 250.0, 50.0, unit="ms"),
        Figure("deep profile, work lost in an hour that holds one, %", rounded(lost, 2), 3.0, 1.0, unit="%"),
    ]


def figures_of_watch(found: dict[str, dict[str, float]] | None) -> list[Figure]:
    """CPU and memory. A few rounds are too few to tell the CPU of one."""
    percent, megabytes = (found[ALL][CORE], found[ALL][MB]) if found else (None, None)
    return [
        Figure("always-on part, % of a core", rounded(percent, 2), 1.0, 0.3, unit="%", full_size=True),
        Figure("always-on part, MB", rounded(megabytes, 1), 10.0, 5.0, unit="MB"),
    ]


def figures_of_audits(found: Runs | None) -> list[Figure]:
    """Medians over the audits."""
    sampled, whole = ((found or Runs()).median("", what) for what in (STAGES[1], STAGES[3]))
    sampled, whole = (rounded(ms and ms / 1e3, 3) for ms in (sampled, whole))
    return [
        Figure(f"{PROCESSES} processes sampled, s", sampled, 5.0, 1.0, unit="s"),
        Figure(f"{PROCESSES} processes found, sampled and counted inside, s", whole, 5.0, 1.0, unit="s"),
    ]


TITLE = "A deep profile of a worker with a million objects that allocates all the time"
PROFILES = PartOf(measure_profiles, lambda found: [Sheet.of(TITLE, "profile", found.by[""])], figures_of_profiles)
WATCH = PartOf(
    measure_watch, lambda found: [Sheet.of(f"The always-on part beside {WATCHED} processes", "part", found)],
    figures_of_watch,
)  # fmt: skip
MANY = PartOf(
    lambda bench: audits(PROCESSES, AUDITS[bench.quick]),
    lambda found: [Sheet.of("One audit of many processes", "audit", found.by[""])],
    figures_of_audits,
)
