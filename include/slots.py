"""How the workers' slots are shared: a pool for each kind of work, so that none can take them all.

`python -m include.slots` prints the pools as `airflow pools import` reads them. $AIRFLOW__CORE__PARALLELISM says how
many tasks run at once in all workers; the pools add up to one less, as a slot is left for other DAGs. Within a pool,
what ends a run goes before what begins one (`priority_weight`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

KINDS = {
    "ingest": "ingest_*: plan, load, merge, account, describe; replay_rejected: replay, account; housekeeping: all",
    "images": "resize_images: claim, resize, account",
    "memory": "audit_memory: judge, prove, flag_leaks",
}
SLOTS = "AIRFLOW__CORE__PARALLELISM"
QUEUE = "MILLRACE_QUEUE_{}"
LEAST = 4  # one for each kind and one for others


def split(slots: int) -> dict[str, int]:
    """Slots of each pool: a tenth for audits, which wait more than they work, and equal shares of the rest.

    Raises ValueError when there are too few to keep the kinds apart.
    """
    if slots < LEAST:
        raise ValueError(f"{SLOTS} is {slots}: {LEAST} slots are needed to keep ingest, images and memory apart")
    memory = max(1, slots // 10)
    shared = slots - memory - 1
    return {"ingest": shared - shared // 2, "images": shared // 2, "memory": memory}


def place(kind: str) -> dict[str, str]:
    """Where tasks of a kind run: pool and queue, as a DAG's `default_args`."""
    return {"pool": kind, "queue": os.environ.get(QUEUE.format(kind.upper())) or "default", "weight_rule": "absolute"}


def pools(environment: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """All pools, in the form of `airflow pools import`."""
    return {
        kind: {"slots": slots, "description": KINDS[kind], "include_deferred": False}
        for kind, slots in split(int(environment[SLOTS])).items()
    }


if __name__ == "__main__":
    print(json.dumps(pools(os.environ)))
