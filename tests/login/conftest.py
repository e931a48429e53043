"""The login of docker-compose.yaml without containers: its `init` and its API server, as that file has them."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from samples.orders import Shape, rows_for, write
from stack import secrets_file
from stack.cluster.compose import read_services
from stack.cluster.topology import Host, Place, lay_out
from stack.ports import free_port, scratch_folder
from stack.postgres import PostgresServer
from stack.trial.rights import PREFIX
from tests.conftest import QUICK
from tests.waiting import PATIENCE_SECONDS, until

REPOSITORY = Path(__file__).resolve().parents[2]
# What is as in no container: one server for both databases, and nobody's memory is watched.
OWN = {
    "AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__API__WORKERS": "1", "MILLRACE_MEMORY_AGENT": "off",
    "AIRFLOW_CONN_IMAGE_LINKS": '{"conn_type": "generic", "password": "a key of the tests, which is long enough"}',
}  # fmt: skip


@dataclass(frozen=True)
class Deployed:
    """An API server that runs, and the host of `init`, which may run again."""

    url: str
    variables: dict[str, str]
    init: Host
    api: Host
    log: Path

    @property
    def password(self) -> str:
        return self.variables["ADMIN_PASSWORD"]

    def token(self, name: str, password: str) -> httpx.Response:
        """Ask for one."""
        body = {"username": name, "password": password}
        return httpx.post(f"{self.url}/auth/token", json=body, trust_env=False, timeout=60)

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command on the host of `init`."""
        return subprocess.run(
            command, env={**self.init.environment, **more}, cwd=REPOSITORY, capture_output=True, text=True,
            timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip


@pytest.fixture(scope="package")
def deployed() -> Iterator[Deployed]:
    """Roles, databases and users made by `init`, a rejected row, the DAGs, and the API server."""
    folder = scratch_folder("millrace-login-")
    made = {name: make() for name, make in secrets_file.MADE.items()}
    password = made["METADATA_SUPERUSER_PASSWORD"]
    server = PostgresServer(folder / "data", free_port(), QUICK, password=password)
    server.start()
    try:
        found = lay(folder, server.port, {**made, "WAREHOUSE_SUPERUSER_PASSWORD": password})
        prepare(found, folder)
        with serving(found.api, found.url, found.log):
            yield found
    finally:
        server.destroy()
        shutil.rmtree(folder)


def lay(
    folder: Path, database_port: int, variables: Mapping[str, str], scheme: str = "http", over: Sequence[Path] = ()
) -> Deployed:
    """The hosts of the compose file, and of files over it, whose databases are this machine's."""
    port = free_port()
    url = f"{scheme}://127.0.0.1:{port}"
    given = {**variables, "API_PORT": str(port), "BASE_URL": url}
    services = read_services(REPOSITORY / "docker-compose.yaml", given, over=over)
    hosts = {host.name: host for host in lay_out(services, Place(REPOSITORY, folder / "cluster"))}
    for place in {place for host in hosts.values() for place in (*host.folders.values(), host.working_dir)}:
        if not Path(place).is_file():
            Path(place).mkdir(parents=True, exist_ok=True)

    def here(host: Host) -> Host:
        moved = {
            name: value.replace("metadata-db:5432", f"127.0.0.1:{database_port}").replace(
                "warehouse-db:5432", f"127.0.0.1:{database_port}"
            )
            for name, value in host.environment.items()
        }
        return replace(host, environment={**moved, **OWN, "AIRFLOW__API__PORT": str(port)})

    return Deployed(url, given, here(hosts["init"]), here(hosts["api-server"]), folder / "api.log")


def prepare(found: Deployed, folder: Path) -> None:
    """What `init` does, then a file with bad rows, and the DAGs."""
    file = folder / "orders.csv"
    with file.open("wb") as out:
        assert write(out, Shape(rows_for(100_000)))["bad"]
    warehouse = found.init.environment["AIRFLOW_CONN_WAREHOUSE"]
    ingest = ("python", "-m", "include.ingest", "run", "include/datasets/orders.yaml", str(file), "--dsn", warehouse)
    for command in (found.init.service.command, ingest, ("airflow", "dags", "reserialize")):
        done = found.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@contextmanager
def serving(api: Host, url: str, log: Path, trusted: ssl.SSLContext | None = None) -> Iterator[None]:
    """The API server, while it runs."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            api.service.command, env=api.environment, cwd=api.working_dir, stdin=subprocess.DEVNULL, stdout=out,
            stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or answers(url, trusted), "the API server")
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


@contextmanager
def logging_in_by(deployed: Deployed, login: str, log: Path, **more: str) -> Iterator[str]:
    """A second API server with another LOGIN, beside the one that is there, on the same databases: its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"AIRFLOW__API__PORT": str(port), "AIRFLOW__API__BASE_URL": url, "MILLRACE_LOGIN": login}
    api = replace(deployed.api, environment={**deployed.api.environment, **own, **more})
    with serving(api, url, log):
        yield url


def may(client: httpx.Client) -> list[int]:
    """Whether whoever is logged in may read, change, and see users."""
    own = {"Origin": str(client.base_url).rstrip("/")}
    asked = (("GET", f"{PREFIX}/counts"), ("POST", f"{PREFIX}/images/retry"), ("GET", "/auth/fab/v1/users"))
    return [client.request(method, path, headers=own).status_code for method, path in asked]


def answers(url: str, trusted: ssl.SSLContext | None = None) -> bool:
    try:
        answer = httpx.get(f"{url}/api/v2/monitor/health", trust_env=False, timeout=10, verify=trusted or True)
        return answer.status_code == 200
    except httpx.HTTPError:
        return False
