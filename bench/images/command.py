"""`./run bench images`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| engine | pictures a second and quality of the resizing, against sharp, pyvips and others; needs no stack |
| upload | how long an upload waits for its answer under load, against a sink and the ticket's endpoint |
| latency | from the answer to all renditions, on an idle Airflow |
| burst | many uploads at once: nothing lost, and Airflow's share of the time |

The stack is the benchmark's own, under `.millrace/bench/`; it ends with the benchmark unless `--keep`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cached_property

from bench import harness
from bench.harness import at_least
from bench.images import burst, engine, latency, uploads
from bench.images.door import Door
from bench.images.peers import PINS


class Bench(harness.Bench):
    """The benchmark of the images."""

    name = "images"
    about = "Benchmark of the images."
    parts = ("engine", "upload", "latency", "burst")
    packages = ("apache-airflow", "pillow", "numpy", "fastapi", "uvicorn", "uvloop", "httptools", "psycopg")
    pins = PINS
    # A contender with one thread then gets a smaller share of it.
    busy_means = "figures by the clock mean little, CPU ms do"
    engine: engine.Found | None = None

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Repetitions."""
        words = "rounds of the engine and of the uploads (5 and 3; 2 and 1)"
        parser.add_argument("--repeat", type=at_least(1), help=words)

    @cached_property
    def door(self) -> Door:
        """The interface of the benchmark's stack."""
        return Door(self.place.settings)

    def run_engine(self) -> None:
        """Speed and quality of the engine."""
        scale = engine.QUICK if self.quick else engine.FULL
        scale = replace(scale, rounds=self.options.repeat or scale.rounds)
        self.engine = self.measure(lambda: engine.measure(self.folder, scale, self.say), engine.sheets, engine.figures)

    def run_upload(self) -> None:
        """Answers to uploads under load."""
        scale = uploads.QUICK if self.quick else uploads.FULL
        scale = replace(scale, rounds=self.options.repeat or scale.rounds)
        found = self.measure(
            lambda: uploads.measure(self.folder, self.place, self.door, scale, self.say),
            uploads.sheets, uploads.figures,
        )  # fmt: skip
        self.notes += uploads.notes(found) if found else []

    def run_latency(self) -> None:
        """One picture on an idle Airflow."""
        times = latency.QUICK if self.quick else latency.FULL
        self.measure(lambda: latency.measure(self.folder, self.door, times, self.say), latency.sheets, latency.figures)

    def run_burst(self) -> None:
        """Many pictures at once."""
        count = burst.QUICK if self.quick else burst.FULL
        self.measure(
            lambda: burst.measure(self.folder, self.door, count, self.say),
            burst.sheets, lambda found: burst.figures(found, count),
        )  # fmt: skip

    def picture(self) -> tuple[str, str] | None:
        """Of the engine."""
        return None if self.engine is None else ("images-bench.svg", engine.draw(self.engine))
