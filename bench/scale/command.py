"""`./run bench scale`: a file of 20 GB, or the largest that the disk takes, against one of 1 GB (`sizes`); the same
rows from other sources (`sources`); one worker and two (`workers`); a year of small daily files (`backfill`).

The first two run on the benchmark's own local stack, the others on a cluster (`./run cluster`), which takes root.
"""

from __future__ import annotations

import argparse
from typing import ClassVar

import psycopg

from bench import harness
from bench.scale import local, spread
from stack.errors import StackError


class Bench(harness.Bench):
    """The benchmark of scale."""

    name = "scale"
    parts: ClassVar[harness.Parts] = {
        "sizes": [local.SIZES], "sources": [local.SOURCES], "workers": [spread.WORKERS], "backfill": [spread.BACKFILL]
    }  # fmt: skip
    packages = ("apache-airflow", "pyarrow", "psycopg", "isal", "s3fs", "numpy")
    busy_means = "ratios are of runs that were disturbed unequally"
    faults = (StackError, psycopg.Error)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """The size."""
        words = "size of the large file (20, or the most that the disk takes)"
        parser.add_argument("--gb", type=float, help=words)
