"""`./run bench scale`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| sizes | a file of 20 GB, or the largest that the disk takes, against one of 1 GB |
| sources | the same rows as a plain file, packed by gzip, and as an object of S3 |
| workers | one worker and two, each with the same share of a core |
| backfill | a year of small daily files, by `airflow backfill create` and two workers |

The first two run on the benchmark's own local stack, the others on a cluster (`./run cluster`), which takes root.
"""

from __future__ import annotations

import argparse
from typing import ClassVar

import psycopg

from bench import harness
from bench.harness import at_least
from bench.scale import backfill, sizes, sources, workers
from stack.errors import StackError


class Bench(harness.Bench):
    """The benchmark of scale."""

    name = "scale"
    about = "Benchmark of scale."
    parts: ClassVar[harness.Parts] = {
        "sizes": [sizes],
        "sources": [sources],
        "workers": [workers],
        "backfill": [backfill],
    }
    packages = ("apache-airflow", "pyarrow", "psycopg", "isal", "s3fs", "numpy")
    busy_means = "ratios are of runs that were disturbed unequally"
    faults = (StackError, psycopg.Error)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """The size."""
        words = "size of the large file (20, or the most that the disk takes)"
        parser.add_argument("--gb", type=at_least(1.1), help=words)
