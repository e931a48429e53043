"""Whether a component of Airflow is well: `python -S -m healthcheck <name>`, for docker-compose.yaml.

It costs 0.2 s of CPU, and `airflow jobs check` six. The API server knows when each component
gave its last sign of life; a worker says in its own command line that it takes tasks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from ssl import create_default_context
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, build_opener

ACTIVE = b":MainProcess] -active-"
TIMEOUT_SECONDS = 40.0


def healthy(name: str) -> bool:
    """Whether `api-server`, `scheduler`, `dag-processor`, `triggerer` or this host's `worker` is well."""
    if name == "worker":
        return any(ACTIVE in _command(process) for process in Path("/proc").glob("[0-9]*"))
    server = urlsplit(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"])
    place = "127.0.0.1:8080" if name == "api-server" else server.netloc
    with _opener().open(f"{server.scheme}://{place}/api/v2/monitor/health", timeout=TIMEOUT_SECONDS) as answer:
        state = json.load(answer)
    return name == "api-server" or state[name.replace("-", "_")]["status"] == "healthy"


def _opener() -> OpenerDirector:
    """No proxy of the machine is asked; with TLS, what Airflow trusts is trusted."""
    trusted = os.environ.get("AIRFLOW__API__SSL_CA_FILE")
    ways = [HTTPSHandler(context=create_default_context(cafile=trusted))] if trusted else []
    return build_opener(ProxyHandler({}), *ways)


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(0 if healthy(sys.argv[1]) else 1)
