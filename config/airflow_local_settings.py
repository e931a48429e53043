"""Airflow loads this in each of its processes, from a folder `config` on its path.

In those that fork, the libraries that every task and every parse of a DAG file would import anew are imported once,
beforehand. Only libraries: the project's own modules stay out, so that a changed file is read by the next task. Where
no file can change, as in an image, `MILLRACE_FIXED_CODE` says so, and a worker imports them too.

There are two exceptions. The triggerer is told which triggers it may make. And long-lived processes carry the agent of
the memory audit and the measure of each task, and each of them sees to it that the machine's watcher runs.
"""

from __future__ import annotations

import os
import sys

from include.memory.inside import agent
from include.memory.watcher import watch

__all__ = ()  # nothing here overrides a setting

if {"scheduler", "dag-processor", "worker"} & set(sys.argv[1:3]):
    import airflow.providers.postgres.hooks.postgres  # noqa: F401, TID251
    import numba
    import numpy  # noqa: F401
    import pandas  # noqa: F401 (pyarrow asks for it at its first scalar: 0.2 s for each task, and each parse of a DAG file)
    import psycopg  # noqa: F401
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401
    import pydantic  # noqa: F401
    import xxhash  # noqa: F401
    import yaml  # noqa: F401
    from airflow.sdk.definitions import decorators  # noqa: F401, TID251 (what `@task` loads)

    if {"scheduler", "worker"} & set(sys.argv[1:3]):
        import s3fs  # noqa: F401 (0.5 s for each task that reads an object)

    numba.njit("int64(int64)")(lambda value: value)  # the first function of a process takes 0.2 s more

    if "worker" in sys.argv[1:3] and os.environ.get("MILLRACE_FIXED_CODE"):
        import include.bridge.images
        import include.bridge.ingest
        import include.images.work
        import include.ingest.run  # noqa: F401

if "triggerer" in sys.argv[1:3]:
    from include.bridge.triggers import allow_only

    allow_only()

if {"scheduler", "dag-processor", "triggerer", "api-server", "worker"} & set(sys.argv[1:3]):
    agent.install()
    watch.ensure()
