"""The benchmark of scale: more workers, larger files, other sources, a year of days."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    from bench.scale.command import run  # here, as the S3 server of this package needs none of it

    return run(arguments)
