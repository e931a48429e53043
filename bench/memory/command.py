"""`./run bench memory`: precision and recall on simulated processes, and how long a leak goes unnoticed (`verdicts`);
programs that really leak, old versions of packages among them, and innocent ones (`real`); what the audit takes when it
only watches, and what a deep profile costs its host (`cost`); how long one audit of 200 processes takes (`many`).

None needs Airflow. `real` installs the old versions from PyPI, each into a venv of its own under
`.millrace/bench/memory/`.
"""

from __future__ import annotations

from typing import ClassVar

from bench import harness
from bench.memory import cost, real, verdicts
from include.memory.errors import MemoryAuditError
from stack.errors import StackError


class Bench(harness.Bench):
    """The benchmark of the memory audit."""

    name = "memory"
    parts: ClassVar[harness.Parts] = {
        "verdicts": [verdicts],
        "real": [real],
        "cost": [cost.WATCH, cost.PROFILES],
        "many": [cost.MANY],
    }
    packages = ("numpy", "scipy", "psycopg", "pandas", "SQLAlchemy", "jinja2", "botocore")
    pins = real.PINS
    busy_means = "pauses mean little"
    faults = (StackError, MemoryAuditError)
