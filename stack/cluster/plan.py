"""A clone's cluster: where it is, what it is made of, and what of it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from stack import secrets_file
from stack.cluster.compose import read_services
from stack.cluster.topology import Host, Place, lay_out
from stack.settings import REPOSITORY, Secrets, Settings, state_folder

COMPOSE = REPOSITORY / "docker-compose.yaml"


def place() -> Place:
    """The cluster's folders, in the state folder of the local stack."""
    return Place(REPOSITORY, state_folder().resolve() / "cluster")


def env_file(where: Place) -> Path:
    """`.env` if there is one, as for compose; otherwise the cluster's own."""
    shared = where.repository / ".env"
    return shared if shared.exists() else where.state / "env"


def settings_of(where: Place, api_port: int, warehouse_port: int) -> Settings:
    """What clients of a cluster have to know, by its ports of this machine: its login and the role `ingest`."""
    made = secrets_file.read(env_file(where))
    secrets = Secrets(
        admin=made["ADMIN_PASSWORD"], ingest=made["WAREHOUSE_PASSWORD"], airflow="", jwt="", fernet="", api=""
    )
    return Settings(where.state.parent, api_port, warehouse_port, secrets)


def hosts_of(where: Place, workers: int) -> list[Host]:
    """The hosts, by the compose file, the env file and the caller's environment, which wins, as for compose.

    $COMPOSE_FILE is as for compose, too: files with a colon between, of which a later one adds to the first.
    """
    variables: Mapping[str, str] = {**secrets_file.read(env_file(where)), **os.environ}
    over = [Path(name) for name in variables.get("COMPOSE_FILE", "").split(os.pathsep)[1:]]
    return lay_out(read_services(COMPOSE, variables, over=over), where, {"worker": workers})


def first_process(where: Place, host: str) -> int | None:
    """The first process of a host that runs, as this machine numbers it."""
    wanted = ["-m", "stack.cluster.host", host, str(where.state)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[1:] == wanted:
                return process.pid
    return None
