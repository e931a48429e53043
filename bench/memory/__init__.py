"""The benchmark of the memory audit: verdicts on simulated and real processes, and what the audit costs."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a `must` is missed."""
    from bench.memory.command import run  # here, as the small programs of this package need none of it

    return run(arguments)
