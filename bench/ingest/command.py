"""`./run bench ingest`: whole DAG runs of Millrace against what people use otherwise, on one server.

`--gb 5` takes 25 minutes of two cores for its large file, and more for the others; `--quick` runs the same code on
small files, where a DAG run costs seconds before it reads a byte, so no ratio means anything. Each run finds its file
in the cache, as one that has just arrived, and a server that has loaded before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any, ClassVar, TypeVar

import psycopg

from bench import harness, picture
from bench.airflow import span
from bench.figures import Figure, Row, Runs, ratio
from bench.files import FORMS, File, make, size_name
from bench.ingest.peers import COPY, EXPERT, GUARDED, MILLRACE, OTHERS, PINS, PROFILE, TICKET, Peer, traits_of
from bench.measure import Cost
from bench.place import PEERS, WAREHOUSE
from bench.report import Sheet
from bench.runs import DagRun, Ingests
from bench.venvs import Absent
from stack.errors import StackError

QUICK_MB, QUICK_SMALL_MB = 30.0, 10.0
SECONDS, COSTS = "s", ("client CPU s", "server CPU s", "peak MB", "WAL MB")
SMALL = (EXPERT, COPY, *OTHERS)  # once each on the small file
Done = TypeVar("Done")


@dataclass
class Line:
    """One contender with one kind of file, and what it can do."""

    label: str
    file: str
    megabytes: float
    traits: Row


class Bench(harness.Bench):
    """The benchmark of the ingest."""

    name = "ingest"
    parts: ClassVar[harness.Parts] = {"ingest": []}
    packages = ("apache-airflow", "pyarrow", "pgpq", "psycopg", "pandas", "numpy", "SQLAlchemy")
    pins = PINS
    busy_means = "ratios are of runs that were disturbed unequally"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Sizes and repetitions."""
        parser.add_argument("--gb", type=float, default=5, help="size of the large file in GB (5)")
        parser.add_argument("--repeat", type=int, help="repetitions (1 above 1 GB and with --quick, else 3)")
        parser.add_argument("--profile", action="store_true", help="also say where the time goes")

    def run(self) -> None:
        """Everything, in turn."""
        large_mb, small_mb = self.options.gb * 1000, min(self.options.gb * 1000, 1000)
        self.full, self.full_small = size_name(large_mb), size_name(small_mb)
        self.rounds = self.options.repeat or (1 if self.quick or self.options.gb > 1 else 3)
        self.lines: dict[str, Line] = {}
        self.costs, self.last_cost = Runs(), dict[str, Cost]()
        self.first_runs: list[DagRun] = []
        large = make(self.place.folder / "files", QUICK_MB if self.quick else large_mb, FORMS)
        small = make(
            self.place.folder / "files", QUICK_SMALL_MB if self.quick else small_mb, ("dirty", "clean", "unique")
        )
        self.ingests = Ingests(self.place)
        self.ingests.warm_up()
        # A plain load that counts for nobody: a new server makes its WAL files, and writes them again later.
        self.place.fresh_target(PEERS)
        COPY.load(self.place, large["unique"].path)
        self.place.drop_all(PEERS)
        self.place.settle()
        for _ in range(self.rounds):
            self.millrace(large)
            self.experts(large)
        self.small_files(small)
        sizes = " and ".join(dict.fromkeys(size_name(line.megabytes) for line in self.lines.values()))
        self.title = f"Ingest of orders files of {sizes}, repeated {self.rounds} x"
        self.file_name = f"ingest-{(QUICK_MB / 1000 if self.quick else self.options.gb):g}gb"
        self.judge(self.figures_of(large["dirty"]))
        self.sheets = [self.table()]
        self.notes.append(
            "Dirty: 0.1 % bad rows; clean: none, for those that die at one; unique: also without repeated keys, for "
            "those that can't upsert."
        )
        if self.options.profile:
            self.profile(small["dirty"] if self.quick else large["dirty"])
        self.place.drop_all(PEERS)
        self.raw["lines"] = [self.plain(name) for name in self.lines]

    def millrace(self, files: Mapping[str, File]) -> None:
        """First load, the same file again, again with a row touched, the second day's file."""
        dirty, nothing = files["dirty"], {"inserted": 0, "updated": 0}
        self.place.fresh_target(WAREHOUSE)
        first = self.dag_run("first", MILLRACE.label, dirty)
        if first is None:
            raise StackError(f"there is nothing to compare: {self.costs.absent['first']}")
        self.first_runs.append(first)
        self.place.settle()
        self.dag_run("again", "Millrace, same file forced", dirty, nothing)
        # The engine may prove from the rows' versions that nothing changed. One rewritten row forbids that proof.
        with psycopg.connect(self.place.dsn(WAREHOUSE)) as connection:
            connection.execute("UPDATE public.orders SET processed_at = processed_at WHERE order_id = 1")
        self.place.settle()
        self.dag_run("again in full", "Millrace, the same, a row touched since", dirty, nothing)
        self.place.settle()
        self.dag_run("second", "Millrace, second file", files["second-dirty"])
        self.place.drop_all(WAREHOUSE)

    def experts(self, files: Mapping[str, File]) -> None:
        """psql's upsert, its second file in two variants, and the plain copy."""
        self.peer_run("expert", EXPERT, files["clean"])
        self.place.keep_copy()
        second = files["second-clean"]
        self.peer_run("second guarded", GUARDED, second, "psql, second file, unchanged rows left alone", fresh=False)
        self.place.restore_copy()
        self.peer_run("second naive", EXPERT, second, "psql, second file, every row rewritten", fresh=False)
        self.peer_run("copy", COPY, files["unique"])
        self.place.drop_all(PEERS)

    def small_files(self, files: Mapping[str, File]) -> None:
        """Everybody on the small file, once a repetition for those that the figures need, once for the others."""
        for _ in range(self.rounds):
            self.place.fresh_target(WAREHOUSE)
            self.dag_run("small first", MILLRACE.label, files["dirty"])
            self.place.drop_all(WAREHOUSE)
            self.peer_run("ticket", TICKET, files["unique"])
        for peer in SMALL:
            self.peer_run(f"small {peer.name}", peer, files[peer.form])
        known: dict[str, Row] = {}
        contenders = {"first": MILLRACE, "small first": MILLRACE, "expert": EXPERT, "copy": COPY, "ticket": TICKET}
        for name, peer in (contenders | {f"small {peer.name}": peer for peer in SMALL}).items():
            if name not in self.costs.absent:
                self.say(f"what {peer.label} can do")
                self.lines[name].traits = known[peer.name] = known.get(peer.name) or traits_of(peer, self.place)

    def dag_run(self, name: str, label: str, file: File, unchanged: dict[str, int] | None = None) -> DagRun | None:
        """One run of the DAG, booked; None, with the reason in its line, when it was no fair run."""
        force = unchanged is not None
        load = partial(self.ingests.run, file, force=force, expected=unchanged)
        return self.book(name, label, file, load, lambda done: done.cost)

    def peer_run(self, name: str, peer: Peer, file: File, label: str = "", *, fresh: bool = True) -> None:
        """One run of a contender, booked; one that fails or can't be had leaves its reason."""

        def load() -> Cost:
            file.warm()
            done = peer.load(self.place, file.path)
            if done.fault or not self.place.count(PEERS, peer.table):
                raise StackError(done.fault or "it loaded nothing")
            return done

        if fresh:
            self.place.fresh_target(PEERS)
        self.book(name, label or peer.label, file, load, lambda done: done)

    def book(
        self, name: str, label: str, file: File, load: Callable[[], Done], cost: Callable[[Done], Cost]
    ) -> Done | None:
        """Keep what a run cost, or why there is none."""
        kind = file.path.stem.partition("mb-")[2].partition("-")[2]
        line = Line(label, f"{size_name(file.megabytes)} {kind}", file.megabytes, {})
        self.lines.setdefault(name, line)
        self.say(f"{label}, {file.megabytes:,.0f} MB")
        try:
            done = load()
        except (StackError, Absent) as fault:
            self.costs.absent[name] = str(fault)
            self.say(f"  {fault}")
            return None
        self.last_cost[name] = found = cost(done)
        values = found.client_cpu_seconds, found.server_cpu_seconds, found.peak_bytes / 1e6, found.wal_bytes / 1e6
        self.costs.by[name].append({SECONDS: found.seconds, **dict(zip(COSTS, values, strict=True))})
        self.say(f"  {found.seconds:.1f} s, {line.megabytes / found.seconds:.1f} MB/s")
        return done

    def speed(self, name: str) -> float | None:
        """MB/s, of the median."""
        seconds = self.costs.median(name, SECONDS)
        return self.lines[name].megabytes / seconds if seconds else None

    def figures_of(self, large: File) -> list[Figure]:
        """What a user of other loaders asks, and what a fixed cost at small size makes meaningless."""
        full, small, size = self.full, self.full_small, size_name(large.megabytes) if self.quick else self.full
        seconds = {name: self.costs.median(name, SECONDS) for name in self.lines}
        guarded = min((found for name in ("second naive", "second guarded") if (found := seconds[name])), default=None)
        peak = max((done.cost for done in self.first_runs), key=lambda cost: cost.peak_bytes)
        share = median(done.airflow_seconds for done in self.first_runs)
        self.notes.append(
            f"Peak memory of the task processes: PSS (shared pages counted once); sum of RSS "
            f"{peak.peak_rss_bytes / 1e6:,.0f} MB, sum of PSS {peak.peak_bytes / 1e6:,.0f} MB"
        )

        def quotient(name: str, value: float | None, must: float, aim: float) -> Figure:
            return Figure(name, value, must, aim, "higher" if "MB/s" in name else "lower", full_size=True)

        first, speeds = seconds["first"], ratio(self.speed("first"), self.speed("small first"))
        return [
            quotient(f"whole DAG run / expert's psql upsert, {full}", ratio(first, seconds["expert"]), 0.6, 0.4),
            quotient(f"whole DAG run / \\copy into the table, {full}", ratio(first, seconds["copy"]), 1.1, 0.8),
            quotient(f"whole DAG run / the ticket's script, {small}",
                     ratio(seconds["small first"], seconds["ticket"]), 0.1, 0.05),
            quotient(f"re-ingest, forced, 0 changed / first load, {full}", ratio(seconds["again"], first), 0.9, 0.6),
            quotient(f"second file, 10 % changed, 1 % new / expert's psql, {full}",
                     ratio(seconds["second"], guarded), 0.9, 0.6),
            Figure(f"peak memory of all task processes, GB, {size}", round(peak.peak_bytes / 1e9, 3), 1.5, 0.8,
                   unit="GB"),
            Figure(f"Airflow's share, s, {size}", round(share, 1), 20.0, 10.0, unit="s"),
            quotient(f"MB/s at {full} / MB/s at {small}", speeds, 0.9, 0.95),
        ]  # fmt: skip

    def table(self) -> Sheet:
        """A line a contender and file. CPU, memory and WAL are of the last repetition."""
        rows = list[Row]()
        for name, line in self.lines.items():
            last: Row = self.costs.by[name][-1] if self.costs.by.get(name) else {}
            rows.append({
                "contender": ": ".join(filter(None, [line.label, self.costs.absent.get(name)])), "file": line.file,
                "s": self.costs.median(name, SECONDS), "MB/s": self.speed(name),
                **{what: last.get(what) for what in COSTS}, **line.traits,
            })  # fmt: skip
        return Sheet.of("Whole runs", "", rows)

    def plain(self, name: str) -> dict[str, Any]:
        """A line of the table for programs."""
        cost = self.last_cost.get(name)
        return {
            **asdict(self.lines[name]), **(asdict(cost) if cost else {}), "seconds": self.costs.values(name, SECONDS),
            "note": self.costs.absent.get(name, ""), "megabytes_per_second": self.speed(name),
        }  # fmt: skip

    def profile(self, file: File) -> None:
        """Where the time goes: by step of the last first load, and inside the engine in one process."""
        found = steps_profile(self.first_runs[-1])
        self.say(f"profile of the engine, {file.megabytes:,.0f} MB")
        self.place.fresh_target(PEERS)
        done = PROFILE.load(self.place, file.path)
        if not done.fault:
            costs = ("seconds", "client_cpu_seconds", "server_cpu_seconds")
            found["engine in one process"] = {name: round(getattr(done, name), 1) for name in costs}
            found["engine in one process"]["parts"] = json.loads(done.output.strip().splitlines()[-1])
        else:
            self.notes.append(f"no profile of the engine: {done.fault}")
        self.raw["profile"] = found
        self.sheets.append(Sheet.of("Profile", "part", costs_in_words(found)))

    def picture(self) -> tuple[str, str] | None:
        """Everybody on the small file."""
        bars = []
        for name in ("small first", *(f"small {peer.name}" for peer in SMALL), "ticket"):
            able = {"no upsert": "upserts", "dies at a bad row": "survives a bad row"}
            remark = ", ".join(words for words, trait in able.items() if self.lines[name].traits.get(trait) == "no")
            bars.append(picture.Bar(self.lines[name].label, self.speed(name), remark, ours=name == "small first"))
        subtitle = (
            "Same server, empty target with a primary key. "
            f"At {size_name(self.lines['first'].megabytes)} Millrace does {self.speed('first'):.0f} MB/s."
        )
        size = size_name(self.lines["small first"].megabytes)
        return "ingest-bench.svg", picture.draw(f"A {size} orders file into PostgreSQL", subtitle, "MB/s", bars)


def steps_profile(done: DagRun) -> dict[str, Any]:
    """CPU and WAL of each step of a run, cut at the borders of its tasks, and Airflow's share."""
    borders = {name: border for name in ("plan", "load", "merge", "account") if (border := span(done.tasks, name))}
    trace = done.trace
    found: dict[str, Any] = {
        name: {
            "seconds": round(end - begin, 1),
            "tasks_cpu_seconds": round(trace.cpu_seconds("tasks", begin, end), 1),
            "server_cpu_seconds": round(trace.cpu_seconds("server", begin, end), 1),
            "wal_mb": round(trace.wal_bytes(begin, end) / 1e6),
        }
        for name, (begin, end) in borders.items()
    }
    found["whole run"] = {
        "seconds": round(done.seconds, 1), "work_seconds": round(sum(done.parts), 1),
        "airflow_share_seconds": round(done.airflow_seconds, 1), "wal_mb": round(trace.wal_bytes() / 1e6),
        **{f"{group}_cpu_seconds": round(trace.cpu_seconds(group), 1)
           for group in ("tasks", "airflow", "server", "server rest", "metadata")},
    }  # fmt: skip
    return found


def costs_in_words(profile: dict[str, Any], whole: str = "") -> dict[str, Row]:
    """Each part of a profile and its figures in words; the parts of a part follow it."""
    found: dict[str, Row] = {}
    for part, values in profile.items():
        plain = {name.replace("_", " "): value for name, value in values.items() if name != "parts"}
        found[whole + part] = {"cost": ", ".join(f"{name} {value:g}" for name, value in plain.items())}
        found |= costs_in_words(values.get("parts", {}), f"{part}, ")
    return found
