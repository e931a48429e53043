"""The benchmark of the ingest: whole DAG runs of Millrace against what people use otherwise, on one server.

`./run bench ingest --gb 5` takes 25 minutes of two cores for its large file, and more for the others; `--quick` runs
the same code on small files, in under two minutes. At that size fixed costs decide: a DAG run costs seconds before it
reads a byte, so ratios look worse than they are. The runs of one repetition alternate between the contenders, and
figures are ratios of medians. Each finds its file in the cache, as one that has just arrived, and a server that
has loaded before.

The stack is the benchmark's own, under `.millrace/bench/`; it ends with the benchmark unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from typing import Any

import psycopg
from rich.console import Console

from bench import figures, machine, picture, report
from bench.files import FORMS, File, make
from bench.measure import Run, run
from bench.parts import conclude, console_of, interruptible
from bench.peers import COPY, EXPERT, GUARDED, MILLRACE, OTHERS, TICKET, Absent, Peer, environment, execute
from bench.place import PEERS, SETTLE_SECONDS, WAREHOUSE, Place
from bench.report import Line, Result
from bench.runs import Airflow, DagRun
from bench.traits import traits_of
from stack.errors import StackError
from stack.settings import REPOSITORY

QUICK_MB, QUICK_SMALL_MB, QUICK_SETTLE_SECONDS = 30.0, 10.0, 0.3
PICTURE = REPOSITORY / "docs" / "ingest-bench.svg"


class Bench:
    """One benchmark under way."""

    def __init__(self, place: Place, options: argparse.Namespace, console: Console) -> None:
        self.place, self.options, self.console = place, options, console
        self.megabytes, self.small = sizes(options)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.lines: dict[str, Line] = {}
        self.first_runs: list[DagRun] = []
        self.peaks: list[tuple[int, int | None]] = []
        self.notes: list[str] = []
        self.profile: dict[str, Any] = {}
        self.machine = machine.describe(place)

    def run(self) -> Result:
        """Everything, in turn."""
        self.say("files")
        files = make(self.place.folder / "files", self.megabytes, FORMS)
        small = make(self.place.folder / "files", self.small, ("dirty", "clean", "unique"))
        airflow = Airflow(self.place)
        airflow.warm_up()
        self.burn_in(files["unique"])
        for _ in range(self.options.repeat):
            self.millrace(airflow, files)
            self.experts(files)
        self.small_files(airflow, small)
        if self.options.profile:
            self.look_inside(small["dirty"] if self.options.quick else files["dirty"])
        return self.result()

    def burn_in(self, file: File) -> None:
        """One plain load that counts for nobody: a new server makes its WAL files, and writes them again later."""
        self.say(f"burn-in of the server, {file.megabytes:,.0f} MB")
        self.place.fresh_target(PEERS)
        execute(COPY, self.place, file.path, self.limit(file))
        self.place.drop_all(PEERS)
        self.place.settle()

    def millrace(self, airflow: Airflow, files: dict[str, File]) -> None:
        """First load, the same file again, again with a row touched, the second day's file."""
        dirty, nothing = files["dirty"], {"inserted": 0, "updated": 0}
        self.place.fresh_target(WAREHOUSE)
        first = self.dag_run(airflow, "first", dirty, MILLRACE.label)
        if first is None:
            raise StackError(f"there is nothing to compare: {self.lines['first'].note}")
        self.first_runs.append(first)
        self.place.settle()
        self.dag_run(airflow, "again", dirty, "Millrace, same file forced", force=True, expected=nothing)
        # The engine may prove from the rows' versions that nothing changed. One rewritten row forbids that proof.
        with psycopg.connect(self.place.dsn(WAREHOUSE)) as connection:
            connection.execute("UPDATE public.orders SET processed_at = processed_at WHERE order_id = 1")
        self.place.settle()
        label = "Millrace, the same, a row touched since"
        self.dag_run(airflow, "again in full", dirty, label, force=True, expected=nothing)
        self.place.settle()
        self.dag_run(airflow, "second", files["second-dirty"], "Millrace, second file")
        self.place.drop_all(WAREHOUSE)

    def experts(self, files: dict[str, File]) -> None:
        """psql's upsert, its second file in two variants, and the plain copy."""
        self.place.fresh_target(PEERS)
        self.peer_run("expert", EXPERT, files["clean"])
        self.place.keep_copy()
        second = files["second-clean"]
        self.peer_run("second guarded", GUARDED, second, "psql, second file, unchanged rows left alone")
        self.place.restore_copy()
        self.peer_run("second naive", EXPERT, second, "psql, second file, every row rewritten")
        self.place.fresh_target(PEERS)
        self.peer_run("copy", COPY, files["unique"])
        self.place.drop_all(PEERS)

    def small_files(self, airflow: Airflow, files: dict[str, File]) -> None:
        """Everybody on the small file, once a repetition for those that the figures need, once for the others."""
        for _ in range(self.options.repeat):
            self.place.fresh_target(WAREHOUSE)
            self.dag_run(airflow, "small first", files["dirty"], MILLRACE.label)
            self.place.drop_all(WAREHOUSE)
            self.place.fresh_target(PEERS)
            self.peer_run("ticket", TICKET, files["unique"])
        for peer in (EXPERT, COPY, *OTHERS):
            self.place.fresh_target(PEERS)
            self.peer_run(f"small {peer.name}", peer, files[peer.form])
        self.find_traits()
        self.place.drop_all(PEERS)

    def find_traits(self) -> None:
        """Try on tiny files what each can do."""
        kinds = {"first": MILLRACE, "small first": MILLRACE, "expert": EXPERT, "copy": COPY, "ticket": TICKET}
        kinds |= {f"small {peer.name}": peer for peer in (EXPERT, COPY, *OTHERS)}
        known: dict[str, Any] = {}
        for name, peer in kinds.items():
            if self.lines[name].note and not self.lines[name].seconds:
                continue
            if peer.name not in known:
                self.say(f"what {peer.label} can do")
                known[peer.name] = traits_of(peer, self.place)
            self.lines[name].traits = known[peer.name]

    def dag_run(
        self, airflow: Airflow, name: str, file: File, label: str, *, force: bool = False,
        expected: dict[str, int] | None = None,
    ) -> DagRun | None:  # fmt: skip
        """One run of the DAG, booked; None, with the reason in its line, when it was no fair run."""
        line = self.line(name, label, file)
        self.say(f"{label}, {file.megabytes:,.0f} MB")
        file.warm()
        try:
            done = airflow.run(file.path, force=force, timeout_seconds=600 + file.megabytes)
            check(done, file, self.place.count(WAREHOUSE), expected or {})
        except StackError as fault:
            line.note = str(fault)
            self.say(f"  {fault}")
            return None
        self.book(name, line, done.seconds)
        line.client_cpu_seconds = done.trace.cpu_seconds("tasks")
        line.server_cpu_seconds = done.trace.cpu_seconds("server")
        pss, rss = done.trace.peak_pss_bytes("tasks"), done.trace.peak_rss_bytes("tasks")
        line.peak_bytes, line.wal_bytes = pss if pss is not None else rss, done.trace.wal_bytes()
        if name == "first":
            self.peaks.append((rss, pss))
        return done

    def peer_run(self, name: str, peer: Peer, file: File, label: str = "") -> None:
        """One run of a peer, booked; one that fails or can't be had leaves its reason."""
        line = self.line(name, label or peer.label, file)
        self.say(f"{line.label}, {file.megabytes:,.0f} MB")
        file.warm()
        try:
            done = execute(peer, self.place, file.path, self.limit(file))
        except Absent as reason:
            line.note = str(reason)
            self.say(f"  {reason}")
            return
        if not done.done or not self.place.count(PEERS, peer.table):
            line.note = done.fault or "it loaded nothing"
            self.say(f"  {line.note}")
            return
        self.book(name, line, done.seconds)
        self.cost(line, done)

    def limit(self, file: File) -> float:
        """Seconds that a peer may take: 1 MB/s and a minute to start."""
        return 60.0 + file.megabytes

    def book(self, name: str, line: Line, seconds: float) -> None:
        """Keep the time of a run."""
        self.seconds[name].append(seconds)
        line.seconds = self.seconds[name]
        self.say(f"  {seconds:.1f} s, {line.megabytes / seconds:.1f} MB/s")

    def cost(self, line: Line, done: Run) -> None:
        """Keep what a run cost."""
        line.client_cpu_seconds, line.server_cpu_seconds = done.client_cpu_seconds, done.server_cpu_seconds
        pss = done.peak_pss_bytes
        line.peak_bytes, line.wal_bytes = pss if pss is not None else done.peak_rss_bytes, done.wal_bytes

    def line(self, name: str, label: str, file: File) -> Line:
        """The line of the table for these runs."""
        kind = file.path.stem.partition("mb-")[2].partition("-")[2]
        return self.lines.setdefault(name, Line(label, f"{size_name(file.megabytes)} {kind}", file.megabytes))

    def look_inside(self, file: File) -> None:
        """Where the time goes: by step of the last first load, and inside the engine in one process."""
        self.profile.update(steps_profile(self.first_runs[-1]))
        self.say(f"profile of the engine, {file.megabytes:,.0f} MB")
        self.place.fresh_target(PEERS)
        done = run(
            [sys.executable, "-m", "bench.profile", str(file.path)], timeout_seconds=600 + file.megabytes,
            environment=environment(self.place, file.path), server=self.place.backends(PEERS), wal=self.place.wal,
            output=self.place.work / "profile.log",
        )  # fmt: skip
        if done.done:
            parts = json.loads(done.output.strip().splitlines()[-1])
            self.profile["engine in one process"] = {
                "seconds": round(done.seconds, 1), "client_cpu_seconds": round(done.client_cpu_seconds, 1),
                "server_cpu_seconds": round(done.server_cpu_seconds, 1), "parts": parts,
            }  # fmt: skip
        else:
            self.notes.append(f"no profile of the engine: {done.fault}")

    def result(self) -> Result:
        """What was found."""
        rss, pss = max(self.peaks)
        unit = "PSS (shared pages counted once)" if pss is not None else "RSS (PSS is not readable for this user)"
        self.notes.append(
            f"Peak memory of the task processes: {unit}; sum of RSS {rss / 1e6:,.0f} MB"
            + (f", sum of PSS {pss / 1e6:,.0f} MB" if pss is not None else "")
        )
        self.notes.append(
            "Dirty: 0.1 % bad rows; clean: none, for those that die at one; unique: also without repeated keys, for "
            "those that can't upsert."
        )
        if self.options.quick:
            self.notes.append(f"Chunks of the large file: {self.first_runs[-1].account['chunks']}.")
            self.notes.append("Quick: at this size the fixed cost of a DAG run decides, ratios are worse than at 5 GB.")
        found = figures.Measured(
            size_name(self.megabytes), size_name(self.small), self.seconds, self.lines["first"].megabytes,
            self.lines["small first"].megabytes, pss if pss is not None else rss,
            [done.airflow_seconds for done in self.first_runs],
        )  # fmt: skip
        sizes = f"{size_name(self.megabytes)} and {size_name(self.small)}"
        title = f"Ingest of {sizes} orders files, repeated {self.options.repeat} x"
        return Result(title, self.machine, list(self.lines.values()), figures.figures(found),
                      self.profile, self.notes)  # fmt: skip

    def draw(self) -> str:
        """The picture for the README: everybody on the small file."""
        names = ["small first", "small copy", "small expert", *(f"small {peer.name}" for peer in OTHERS), "ticket"]
        lines = [self.lines[name] for name in names if self.lines[name].speed]
        bars = [
            picture.Bar(line.label, line.speed or 0.0, _remark(line), ours=line is self.lines["small first"])
            for line in lines
        ]
        bars.sort(key=lambda bar: -bar.value)
        largest = self.lines["first"]
        subtitle = (
            "Same server, empty target with a primary key. "
            f"At {size_name(largest.megabytes)} Millrace does {largest.speed:.0f} MB/s."
        )
        return picture.draw(f"A {size_name(self.small)} orders file into PostgreSQL", subtitle, "MB/s", bars)

    def say(self, words: str) -> None:
        """One line about the progress."""
        self.console.print(f"{time.strftime('%H:%M:%S')}  {words}")


def check(done: DagRun, file: File, rows: int, expected: dict[str, int]) -> None:
    """Raise StackError when a run did not do its work: it is no measurement then. `rows` are now in the target."""
    account = done.account
    wanted = {**expected, "read": file.rows, "rejected": file.bad}
    wrong = {name: (account[name], value) for name, value in wanted.items() if account[name] != value}
    if wrong:
        raise StackError(f"the account of {file.path.name} is wrong (found, expected): {wrong}")
    if rows < account["inserted"] + account["updated"] + account["unchanged"]:
        raise StackError(f"{file.path.name}: {rows} rows in the target are fewer than the account says: {account}")


def steps_profile(done: DagRun) -> dict[str, Any]:
    """CPU and WAL of each step of a run, cut at the borders of its tasks, and Airflow's share."""
    loads = [step for step in done.steps if step.task == "load"]
    borders = {name: (step.begin, step.end) for name in ("plan", "merge", "account") if (step := done.step(name))}
    if loads:
        borders["load"] = (min(step.begin for step in loads), max(step.end for step in loads))
    found: dict[str, Any] = {
        name: {
            "seconds": round(end - begin, 1),
            "tasks_cpu_seconds": round(done.trace.cpu_seconds("tasks", begin, end), 1),
            "server_cpu_seconds": round(done.trace.cpu_seconds("server", begin, end), 1),
            "wal_mb": round(done.trace.wal_bytes(begin, end) / 1e6),
        }
        for name, (begin, end) in sorted(borders.items(), key=lambda item: item[1])
    }
    groups = ("tasks", "airflow", "server", "server rest", "metadata")
    found["whole run"] = {
        "seconds": round(done.seconds, 1), "work_seconds": round(done.work_seconds, 1),
        "airflow_share_seconds": round(done.airflow_seconds, 1), "wal_mb": round(done.trace.wal_bytes() / 1e6),
        **{f"{group}_cpu_seconds": round(done.trace.cpu_seconds(group), 1) for group in groups},
    }  # fmt: skip
    return found


def sizes(options: argparse.Namespace) -> tuple[float, float]:
    """Size of the large and of the small file, in MB."""
    if options.quick:
        return QUICK_MB, QUICK_SMALL_MB
    return options.gb * 1000, min(options.gb * 1000, 1000.0)


def size_name(megabytes: float) -> str:
    """5 GB, 200 MB."""
    return f"{megabytes / 1000:.2g} GB" if megabytes >= 950 else f"{megabytes:.0f} MB"


def _remark(line: Line) -> str:
    if line.traits is None:
        return ""
    able = {"no upsert": line.traits.upserts, "dies at a bad row": line.traits.survives_bad_row}
    return ", ".join(words for words, fine in able.items() if fine is False)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    options = _options(arguments)
    interruptible()
    console = console_of()
    try:
        with Place(
            keep=options.keep, settle_seconds=QUICK_SETTLE_SECONDS if options.quick else SETTLE_SECONDS
        ) as place:
            bench = Bench(place, options, console)
            began = time.monotonic()
            state = "was up already" if place.was_up else "was started for this"
            bench.say(f"the benchmark's stack {state}")
            found = bench.run()
            found.notes.append(f"It took {(time.monotonic() - began) / 60:.1f} minutes; the stack {state}.")
            folder = place.folder / "results" if options.quick else REPOSITORY / "bench" / "results"
            report.write(found, folder, f"ingest-{bench.megabytes / 1000:g}gb")
            (folder / "ingest-bench.svg" if options.quick else PICTURE).write_text(bench.draw())
    except StackError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    return conclude(found, console)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench ingest", description="Benchmark of the ingest.")
    parser.add_argument("--gb", type=float, default=5.0, help="size of the large file in GB (5)")
    parser.add_argument("--quick", action="store_true", help="small files; writes nothing into the repository")
    parser.add_argument("--repeat", type=int, help="repetitions (1 above 1 GB and with --quick, else 3)")
    parser.add_argument("--profile", action="store_true", help="also say where the time goes")
    parser.add_argument("--keep", action="store_true", help="leave the benchmark's stack running")
    options = parser.parse_args(arguments)
    if options.gb <= 0:
        parser.error("--gb must be more than 0")
    if options.repeat is None:
        options.repeat = 1 if options.quick or options.gb > 1 else 3
    return options


if __name__ == "__main__":
    sys.exit(main())
