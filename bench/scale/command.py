"""`./run bench scale`: four parts, each of which can run alone by `--only`.

| part | what it measures |
| --- | --- |
| sizes | a file of 20 GB, or the largest that the disk takes, against one of 1 GB |
| sources | the same rows as a plain file, packed by gzip, and as an object of S3 |
| workers | one worker and two, each with the same share of a core |
| backfill | a year of small daily files, by `airflow backfill create` and two workers |

The first two run on the benchmark's own local stack, the others on a cluster (`./run cluster`), which takes root.
`--quick` runs the same code on less and writes nothing into the repository.
"""

from __future__ import annotations

import argparse

import psycopg

from bench import machine, parts
from bench.ingest import size_name
from bench.parts import Parts
from bench.scale import backfill, sizes, sources, workers
from stack.errors import StackError

PARTS = ("sizes", "sources", "workers", "backfill")
PACKAGES = ("apache-airflow", "pyarrow", "psycopg", "isal", "s3fs", "numpy")


class Bench(Parts):
    """The benchmark of scale."""

    name = "scale"
    all_parts = PARTS
    busy_means = "ratios are of runs that were disturbed unequally"
    faults = (StackError, psycopg.Error)

    def facts(self) -> dict[str, str]:
        """About machine and software."""
        return {**machine.host(self.folder), **machine.software(PACKAGES)}

    def run_sizes(self) -> None:
        """Large against small."""
        options = self.options
        found = self.attempt(lambda: sizes.measure(quick=options.quick, gigabytes=options.gb, say=self.say))
        self.book(found, sizes.sheets, sizes.figures(found))
        if found and not options.quick and found.large_megabytes < sizes.MOST_GB * 1000:
            self.notes.append(
                f"The large file has {size_name(found.large_megabytes)}, not 20 GB: {found.reason}; file, table and WAL"
                f" take {sizes.BYTES_A_BYTE} bytes for each byte of it, and {sizes.SPARE_GB:g} GB are left alone."
            )

    def run_sources(self) -> None:
        """Plain, packed, remote."""
        found = self.attempt(lambda: sources.measure(quick=self.options.quick, say=self.say))
        self.book(found, sources.sheets, sources.figures(found))

    def run_workers(self) -> None:
        """One and two."""
        found = self.attempt(lambda: workers.measure(self.folder, quick=self.options.quick, say=self.say))
        self.book(found, workers.sheets, workers.figures(found))

    def run_backfill(self) -> None:
        """A year."""
        found = self.attempt(lambda: backfill.measure(self.folder, quick=self.options.quick, say=self.say))
        self.book(found, backfill.sheets, backfill.figures(found))


def run(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    return parts.run(Bench, _options(arguments))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = parts.parser_of("scale", "scale", PARTS)
    parser.add_argument("--gb", type=float, help="size of the large file (20, or the most that the disk takes)")
    options = parser.parse_args(arguments)
    if options.gb is not None and options.gb <= 1:
        parser.error("--gb must be more than 1")
    return options
