"""`./run bench images`: pictures a second and quality of the resizing against sharp, pyvips and others (`engine`, which
needs no stack); how long an upload waits for its answer under load (`upload`), and for its renditions on an idle
Airflow (`latency`); many uploads at once: nothing lost, and Airflow's share of the time (`burst`).

The stack is the benchmark's own, under `.millrace/bench/`; it ends with the benchmark unless `--keep`.
"""

from __future__ import annotations

import argparse
from functools import cached_property
from typing import ClassVar

from bench import harness
from bench.images import burst, engine, uploads
from bench.images.door import Door
from bench.images.peers import PINS


class Bench(harness.Bench):
    """The benchmark of the images."""

    name = "images"
    parts: ClassVar[harness.Parts] = {
        "engine": [engine], "upload": [uploads], "latency": [burst.LATENCY], "burst": [burst.BURST_OF_MANY]
    }  # fmt: skip
    packages = ("apache-airflow", "pillow", "numpy", "fastapi", "uvicorn", "uvloop", "httptools", "psycopg")
    pins = PINS
    # A contender with one thread then gets a smaller share of it.
    busy_means = "figures by the clock mean little, CPU ms do"

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Repetitions."""
        words = "rounds of the engine and of the uploads (5 and 3; 2 and 1)"
        parser.add_argument("--repeat", type=int, help=words)

    @cached_property
    def door(self) -> Door:
        """The interface of the benchmark's stack."""
        return Door(self.place.settings)

    def picture(self) -> tuple[str, str] | None:
        """Of the engine."""
        return ("images-bench.svg", engine.draw(self.found["engine"])) if self.found.get("engine") else None
