"""The benchmark of the images: the resizing engine against others, and the whole way on a real Airflow."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    from bench.images.command import run  # here, as the small programs of this package need none of it

    return run(arguments)
