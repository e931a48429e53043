"""`./run bench ingest`: whole DAG runs of Millrace against what people use otherwise, on one server.

`--gb 5` takes 25 minutes of two cores for its large file, and more for the others; `--quick` runs the same code on
small files. A DAG run costs seconds before it reads a byte, so no ratio means anything at that size. The runs of one
repetition alternate between the contenders, and figures are ratios of medians. Each finds its file in the cache, as one
that has just arrived, and a server that has loaded before.

The stack is the benchmark's own, under `.millrace/bench/`; it ends with the benchmark unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import attrgetter
from statistics import median
from typing import Any

import psycopg

from bench import harness, picture
from bench.airflow import span
from bench.figures import Figure, Runs, number, ratio
from bench.files import FORMS, File, make, size_name
from bench.harness import at_least
from bench.ingest.peers import COPY, EXPERT, GUARDED, MILLRACE, OTHERS, PINS, TICKET, Peer, environment
from bench.ingest.traits import Traits, traits_of
from bench.measure import Cost, run
from bench.place import PEERS, WAREHOUSE
from bench.report import Sheet
from bench.runs import DagRun, Ingests
from bench.venvs import Absent
from stack.errors import StackError

QUICK_MB, QUICK_SMALL_MB = 30.0, 10.0
SECONDS = attrgetter("seconds")
SMALL = (EXPERT, COPY, *OTHERS)  # once each on the small file


@dataclass
class Line:
    """One contender with one kind of file."""

    label: str
    file: str
    megabytes: float
    traits: Traits = Traits()  # noqa: RUF009  # frozen


class Bench(harness.Bench):
    """The benchmark of the ingest."""

    name = "ingest"
    about = "Benchmark of the ingest."
    parts = ("ingest",)
    packages = ("apache-airflow", "pyarrow", "pgpq", "psycopg", "pandas", "numpy", "SQLAlchemy")
    pins = PINS
    busy_means = "ratios are of runs that were disturbed unequally"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Sizes and repetitions."""
        parser.add_argument("--gb", type=at_least(0.001), default=5, help="size of the large file in GB (5)")
        parser.add_argument("--repeat", type=at_least(1), help="repetitions (1 above 1 GB and with --quick, else 3)")
        parser.add_argument("--profile", action="store_true", help="also say where the time goes")

    def run_ingest(self) -> None:
        """Everything, in turn."""
        self.full_mb, self.full_small_mb = self.options.gb * 1000, min(self.options.gb * 1000, 1000)
        self.rounds = self.options.repeat or (1 if self.quick or self.options.gb > 1 else 3)
        self.lines: dict[str, Line] = {}
        self.costs: Runs[str, Cost] = Runs()
        self.first_runs: list[DagRun] = []
        large = make(self.place.folder / "files", QUICK_MB if self.quick else self.full_mb, FORMS)
        small_mb = QUICK_SMALL_MB if self.quick else self.full_small_mb
        small = make(self.place.folder / "files", small_mb, ("dirty", "clean", "unique"))
        self.ingests = Ingests(self.place)
        self.ingests.warm_up()
        self.burn_in(large["unique"])
        for _ in range(self.rounds):
            self.millrace(large)
            self.experts(large)
        self.small_files(small)
        self.place.drop_all(PEERS)
        self.judge(self.found(large["dirty"]))
        self.sheets = [self.table()]
        self.tell()
        if self.options.profile:
            self.profile(small["dirty"] if self.quick else large["dirty"])
        self.raw["lines"] = [self.plain(name) for name in self.lines]

    def burn_in(self, file: File) -> None:
        """One plain load that counts for nobody: a new server makes its WAL files, and writes them again later."""
        self.say(f"burn-in of the server, {file.megabytes:,.0f} MB")
        self.place.fresh_target(PEERS)
        COPY.load(self.place, file.path, limit(file))
        self.place.drop_all(PEERS)
        self.place.settle()

    def millrace(self, files: Mapping[str, File]) -> None:
        """First load, the same file again, again with a row touched, the second day's file."""
        dirty, nothing = files["dirty"], {"inserted": 0, "updated": 0}
        self.place.fresh_target(WAREHOUSE)
        first = self.dag_run("first", MILLRACE.label, dirty)
        if first is None:
            raise StackError(f"there is nothing to compare: {self.costs.absent['first']}")
        self.first_runs.append(first)
        self.place.settle()
        self.dag_run("again", "Millrace, same file forced", dirty, nothing, force=True)
        # The engine may prove from the rows' versions that nothing changed. One rewritten row forbids that proof.
        with psycopg.connect(self.place.dsn(WAREHOUSE)) as connection:
            connection.execute("UPDATE public.orders SET processed_at = processed_at WHERE order_id = 1")
        self.place.settle()
        self.dag_run("again in full", "Millrace, the same, a row touched since", dirty, nothing, force=True)
        self.place.settle()
        self.dag_run("second", "Millrace, second file", files["second-dirty"])
        self.place.drop_all(WAREHOUSE)

    def experts(self, files: Mapping[str, File]) -> None:
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

    def small_files(self, files: Mapping[str, File]) -> None:
        """Everybody on the small file, once a repetition for those that the figures need, once for the others."""
        for _ in range(self.rounds):
            self.place.fresh_target(WAREHOUSE)
            self.dag_run("small first", MILLRACE.label, files["dirty"])
            self.place.drop_all(WAREHOUSE)
            self.place.fresh_target(PEERS)
            self.peer_run("ticket", TICKET, files["unique"])
        for peer in SMALL:
            self.place.fresh_target(PEERS)
            self.peer_run(f"small {peer.name}", peer, files[peer.form])
        lines = {MILLRACE: ("first", "small first"), EXPERT: ("expert", "small expert"), COPY: ("copy", "small copy"),
                 TICKET: ("ticket",)} | {peer: (f"small {peer.name}",) for peer in OTHERS}  # fmt: skip
        for peer, names in lines.items():
            if names[0] not in self.costs.absent:
                self.say(f"what {peer.label} can do")
                found = traits_of(peer, self.place)
                for name in names:
                    self.lines[name].traits = found

    def dag_run(
        self, name: str, label: str, file: File, expected: dict[str, int] | None = None, *, force: bool = False
    ) -> DagRun | None:
        """One run of the DAG, booked; None, with the reason in its line, when it was no fair run."""
        self.begin(name, label, file)
        try:
            done = self.ingests.run(file.path, force=force, timeout_seconds=600 + file.megabytes)
            self.ingests.check(done, file, expected)
        except StackError as fault:
            self.miss(name, str(fault))
            return None
        self.book(name, done.cost)
        return done

    def peer_run(self, name: str, peer: Peer, file: File, label: str = "") -> None:
        """One run of a contender, booked; one that fails or can't be had leaves its reason."""
        self.begin(name, label or peer.label, file)
        try:
            done = peer.load(self.place, file.path, limit(file))
        except Absent as reason:
            self.miss(name, str(reason))
            return
        if done.fault or not self.place.count(PEERS, peer.table):
            self.miss(name, done.fault or "it loaded nothing")
        else:
            self.book(name, done)

    def begin(self, name: str, label: str, file: File) -> None:
        """Have a line for these runs, and the file in the cache."""
        kind = file.path.stem.partition("mb-")[2].partition("-")[2]
        self.lines.setdefault(name, Line(label, f"{size_name(file.megabytes)} {kind}", file.megabytes))
        self.say(f"{label}, {file.megabytes:,.0f} MB")
        file.warm()

    def miss(self, name: str, reason: str) -> None:
        """Keep why there is no run."""
        self.costs.absent[name] = reason
        self.say(f"  {reason}")

    def book(self, name: str, cost: Cost) -> None:
        """Keep what a run cost."""
        self.costs.by[name].append(cost)
        self.say(f"  {cost.seconds:.1f} s, {self.lines[name].megabytes / cost.seconds:.1f} MB/s")

    def speed(self, name: str) -> float | None:
        """MB/s, of the median."""
        seconds = self.costs.median(name, SECONDS)
        return self.lines[name].megabytes / seconds if seconds else None

    def found(self, large: File) -> list[Figure]:
        """What a user of other loaders asks, and what a fixed cost at small size makes meaningless."""
        full, full_small = size_name(self.full_mb), size_name(self.full_small_mb)
        size = size_name(large.megabytes) if self.quick else full
        seconds = {name: self.costs.median(name, SECONDS) for name in self.lines}
        second = [found for name in ("second naive", "second guarded") if (found := seconds[name])]
        peak = max(cost.peak_bytes for cost in self.costs.by["first"])
        share = median(done.airflow_seconds for done in self.first_runs)
        return [
            Figure(f"whole DAG run / expert's psql upsert, {full}", ratio(seconds["first"], seconds["expert"]),
                   0.6, 0.4, full_size=True),
            Figure(f"whole DAG run / \\copy into the table, {full}", ratio(seconds["first"], seconds["copy"]),
                   1.1, 0.8, full_size=True),
            Figure(f"whole DAG run / the ticket's script, {full_small}",
                   ratio(seconds["small first"], seconds["ticket"]), 0.1, 0.05, full_size=True),
            Figure(f"re-ingest, forced, 0 changed / first load, {full}", ratio(seconds["again"], seconds["first"]),
                   0.9, 0.6, full_size=True),
            Figure(f"second file, 10 % changed, 1 % new / expert's psql, {full}",
                   ratio(seconds["second"], min(second, default=None)), 0.9, 0.6, full_size=True),
            Figure(f"peak memory of all task processes, GB, {size}", round(peak / 1e9, 3), 1.5, 0.8, unit="GB"),
            Figure(f"Airflow's share, s, {size}", round(share, 1), 20.0, 10.0, unit="s"),
            Figure(f"MB/s at {full} / MB/s at {full_small}", ratio(self.speed("first"), self.speed("small first")),
                   0.9, 0.95, "higher", full_size=True),
        ]  # fmt: skip

    def table(self) -> Sheet:
        """A line a contender and file. CPU, memory and WAL are of the last repetition."""

        def cost(name: str) -> Cost | None:
            return next(reversed(self.costs.by.get(name, [])), None)

        def of(field: str, digits: int, unit: float = 1.0) -> Any:
            return lambda name: number(getattr(cost(name), field, None), digits, unit)

        def able(trait: str) -> Any:
            return lambda name: {True: "yes", False: "no", None: ""}[getattr(self.lines[name].traits, trait)]

        def label(name: str) -> str:
            absent = "" if self.costs.by.get(name) else f": {self.costs.absent[name]}"
            return self.lines[name].label + absent

        cells = {
            "contender": label,
            "file": lambda name: self.lines[name].file,
            "s": lambda name: number(self.costs.median(name, SECONDS)),
            "MB/s": lambda name: number(self.speed(name)),
            "client CPU s": of("client_cpu_seconds", 1),
            "server CPU s": of("server_cpu_seconds", 1),
            "peak MB": of("peak_bytes", 0, 1e6),
            "WAL MB": of("wal_bytes", 0, 1e6),
            "upserts": able("upserts"),
            "survives a bad row": able("survives_bad_row"),
            "quoted newlines": able("reads_quoted_newlines"),
        }
        return Sheet.of("Whole runs", self.lines, cells)

    def plain(self, name: str) -> dict[str, Any]:
        """A line of the table for programs."""
        costs = self.costs.by.get(name, [])
        last = asdict(costs[-1]) | {"peak_bytes": costs[-1].peak_bytes} if costs else {}
        kept = ("client_cpu_seconds", "server_cpu_seconds", "peak_bytes", "wal_bytes")
        return {
            **asdict(self.lines[name]), "seconds": [cost.seconds for cost in costs],
            **{field: last.get(field) for field in kept}, "note": self.costs.absent.get(name, ""),
            "megabytes_per_second": self.speed(name),
        }  # fmt: skip

    def tell(self) -> None:
        """What a reader has to know about the table."""
        peak = max((done.cost for done in self.first_runs), key=lambda cost: cost.peak_rss_bytes)
        pss, rss = peak.peak_pss_bytes, peak.peak_rss_bytes
        unit = "RSS (PSS is not readable for this user)" if pss is None else "PSS (shared pages counted once)"
        self.notes += [
            f"Peak memory of the task processes: {unit}; sum of RSS {rss / 1e6:,.0f} MB"
            + ("" if pss is None else f", sum of PSS {pss / 1e6:,.0f} MB"),
            "Dirty: 0.1 % bad rows; clean: none, for those that die at one; unique: also without repeated keys, for "
            "those that can't upsert.",
        ]

    def profile(self, file: File) -> None:
        """Where the time goes: by step of the last first load, and inside the engine in one process."""
        found = steps_profile(self.first_runs[-1])
        self.say(f"profile of the engine, {file.megabytes:,.0f} MB")
        self.place.fresh_target(PEERS)
        done = run(
            [sys.executable, "-m", "bench.profile", str(file.path)], timeout_seconds=600 + file.megabytes,
            environment=environment(self.place, file.path), server=self.place.backends(PEERS), wal=self.place.wal,
            output=self.place.work / "profile.log",
        )  # fmt: skip
        self.place.drop_all(PEERS)
        if not done.fault:
            found["engine in one process"] = {
                "seconds": round(done.seconds, 1), "client_cpu_seconds": round(done.client_cpu_seconds, 1),
                "server_cpu_seconds": round(done.server_cpu_seconds, 1),
                "parts": json.loads(done.output.strip().splitlines()[-1]),
            }  # fmt: skip
        else:
            self.notes.append(f"no profile of the engine: {done.fault}")
        self.raw["profile"] = found
        self.sheets.append(Sheet.facts("Profile", dict(costs_in_words(found)), ("part", "cost")))

    @property
    def title(self) -> str:
        """Of the report."""
        sizes = " and ".join(dict.fromkeys(size_name(line.megabytes) for line in self.lines.values()))
        return f"Ingest of orders files of {sizes}, repeated {self.rounds} x"

    @property
    def file_name(self) -> str:
        """By size."""
        return f"ingest-{(QUICK_MB / 1000 if self.quick else self.options.gb):g}gb"

    def picture(self) -> tuple[str, str] | None:
        """Everybody on the small file."""
        names = ["small first", *(f"small {peer.name}" for peer in SMALL), "ticket"]
        bars = [
            picture.Bar(self.lines[name].label, speed, _remark(self.lines[name].traits), ours=name == "small first")
            for name in names
            if (speed := self.speed(name))
        ]
        bars.sort(key=lambda bar: -bar.value)
        subtitle = (
            "Same server, empty target with a primary key. "
            f"At {size_name(self.lines['first'].megabytes)} Millrace does {self.speed('first'):.0f} MB/s."
        )
        size = size_name(self.lines["small first"].megabytes)
        return "ingest-bench.svg", picture.draw(f"A {size} orders file into PostgreSQL", subtitle, "MB/s", bars)


def limit(file: File) -> float:
    """Seconds that a contender may take: 1 MB/s and a minute to start."""
    return 60.0 + file.megabytes


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
        "seconds": round(done.seconds, 1), "work_seconds": round(done.work_seconds, 1),
        "airflow_share_seconds": round(done.airflow_seconds, 1), "wal_mb": round(trace.wal_bytes() / 1e6),
        **{f"{group}_cpu_seconds": round(trace.cpu_seconds(group), 1)
           for group in ("tasks", "airflow", "server", "server rest", "metadata")},
    }  # fmt: skip
    return found


def costs_in_words(profile: dict[str, Any], whole: str = "") -> list[tuple[str, str]]:
    """Each part of a profile and its figures in words; the parts of a part follow it."""
    found: list[tuple[str, str]] = []
    for part, values in profile.items():
        plain = {name.replace("_", " "): value for name, value in values.items() if name != "parts"}
        found.append((whole + part, ", ".join(f"{name} {value:g}" for name, value in plain.items())))
        found += costs_in_words(values.get("parts", {}), f"{part}, ")
    return found


def _remark(traits: Traits) -> str:
    able = {"no upsert": traits.upserts, "dies at a bad row": traits.survives_bad_row}
    return ", ".join(words for words, fine in able.items() if fine is False)
