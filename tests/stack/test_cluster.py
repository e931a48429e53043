"""`./run cluster`: the services of the compose file on hosts of their own, with two workers that share an ingest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest

from samples.orders import Shape, rows_for, write
from stack import secrets_file
from stack.api import AirflowApi
from stack.cluster import command, plan
from stack.cluster.limits import Limits
from stack.cluster.topology import Place
from stack.errors import StackError
from stack.ports import free_port
from stack.settings import Settings
from tests.stack.here import REPOSITORY
from tests.waiting import PATIENCE_SECONDS, appeared, until

HOSTS = {"api-server", "scheduler", "dag-processor", "triggerer", "worker-1", "worker-2"}
DAG = "ingest_orders"
NO_WAY = """
import socket, sys
for where in ("metadata-db", "10.213.0.10"):
    try:
        socket.create_connection((where, 5432), timeout=3)
    except OSError:
        continue
    sys.exit(f"{where} can be reached")
"""


@dataclass(frozen=True)
class Cluster:
    """A state folder, ports of the machine, and the command that runs the cluster."""

    state: Path
    variables: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [REPOSITORY / "run", "cluster", *arguments],
            env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def on(self, host: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("--on", host, *arguments, check=check)

    @property
    def settings(self) -> Settings:
        """As the client of Airflow's interface wants them."""
        ports = int(self.variables["API_PORT"]), int(self.variables["WAREHOUSE_PORT"])
        return plan.settings_of(Place(REPOSITORY, self.state / "cluster"), *ports)

    @property
    def namespaces(self) -> set[str]:
        """All namespaces of the cluster's processes that are not this process's own."""
        kinds = ("net", "pid", "mnt", "uts", "ipc")
        own = {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds}
        members = [one for one in psutil.process_iter() if self._owns(one)]
        return {str(Path(f"/proc/{one.pid}/ns/{kind}").readlink()) for one in members for kind in kinds} - own

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return str(self.state) in process.environ().get("HOME", "") or str(self.state) in " ".join(
                process.cmdline()
            )
        except psutil.Error:
            return False


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Where a cluster of the test's own will be; it is down afterwards."""
    ports = {"API_PORT": str(free_port()), "WAREHOUSE_PORT": str(free_port())}
    # Two at a time: a task of another DAG that runs for long leaves each worker a place for a chunk.
    quick = {"MEMORY_SECONDS": "10", "WORKER_CONCURRENCY": "2"}
    found = Cluster(tmp_path / "state", {"MILLRACE_STATE": str(tmp_path / "state"), **ports, **quick})
    yield found
    found.run("--down", "--delete")
    assert not (tmp_path / "state" / "cluster").exists()


def in_use() -> set[str]:
    """Every namespace that a process of this machine is in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def test_without_root_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match=r"take root: type `sudo \./run cluster`"):
        command.check_machine()


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="type `apt-get install iproute2 mount redis-server util-linux`"):
        command.check_machine()


def test_without_a_cluster_each_command_says_so(cluster: Cluster) -> None:
    assert "no cluster here" in cluster.run("--down").stderr
    assert "no host worker-1 runs here" in cluster.on("worker-1", "true", check=False).stderr


@pytest.mark.airflow
@pytest.mark.hosts
@pytest.mark.namespaces
@pytest.mark.redis
def test_two_workers_share_an_ingest(cluster: Cluster) -> None:
    before = sorted(psutil.net_if_addrs())
    with subprocess.Popen(
        [REPOSITORY / "run", "cluster", "--workers", "2"],
        env={**os.environ, **cluster.variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            until(lambda: process.poll() is not None or (cluster.state / "cluster" / "ready").exists(), "the hosts")
            assert process.poll() is None, process.stdout and process.stdout.read()
            ingest(cluster)
            check_roles(cluster)
            check_memory(cluster)
            check_logs(cluster)
            check_limits(cluster)
            made = cluster.namespaces
            assert len(made) >= 5 * (len(HOSTS) + 4), "each host has its own"
        finally:
            cluster.run("--down")
        assert process.wait(PATIENCE_SECONDS) == 0
    until(lambda: not made & in_use(), "the namespaces to go")
    assert cluster.namespaces == set()
    assert str(cluster.state) not in Path("/proc/mounts").read_text(), "others may mount meanwhile"
    assert sorted(psutil.net_if_addrs()) == before


def ingest(cluster: Cluster) -> None:
    """A file in many chunks: all rows arrive, and each worker has loaded some."""
    file = cluster.state / "cluster" / "volumes" / "inbox" / "orders.csv"
    with file.open("wb") as out:
        counts = write(out, Shape(rows=rows_for(8_000_000)))
    api = AirflowApi(cluster.settings)
    api.login()
    appeared(api, DAG)
    api.patch(f"dags/{DAG}", {"is_paused": False})
    body = {"logical_date": None, "conf": {"path": str(file), "chunk_bytes": 1_000_000}}
    run = f"dags/{DAG}/dagRuns/" + quote(api.post(f"dags/{DAG}/dagRuns", body)["dag_run_id"], safe="")
    until(lambda: api.get(run)["state"] in ("success", "failed"), "the run to end")
    tasks = api.get(f"{run}/taskInstances", limit=100)["task_instances"]
    assert api.get(run)["state"] == "success", tasks
    assert {task["hostname"] for task in tasks if task["task_id"] == "load"} == {"worker-1", "worker-2"}
    account = api.get(f"{run}/taskInstances/account/xcomEntries/return_value", deserialize=True)["value"]
    assert account["read"] == counts["rows"]
    assert account["superseded"] > 0, "keys are repeated across chunks"
    log = api.get(f"{run}/taskInstances/merge/logs/1", full_content=True)
    assert "merge" in str(log), "the API server reads what the worker wrote"
    api.close()


def check_roles(cluster: Cluster) -> None:
    """A worker has no way to the metadata; the pages' role can only read."""
    assert "SQL_ALCHEMY" not in cluster.on("worker-1", "env").stdout
    assert cluster.on("worker-2", "hostname").stdout == "worker-2\n"
    cluster.on("worker-1", "python", "-c", NO_WAY)
    refused = cluster.on(
        "api-server", "sh", "-c", 'psql "$AIRFLOW_CONN_WAREHOUSE_PAGES" -c "DELETE FROM millrace.image"', check=False
    )
    assert "permission denied for table image" in refused.stderr
    api = AirflowApi(cluster.settings)
    api.login()
    assert "processes" in api.call("GET", "millrace/memory/processes"), "the page Memory, by that role"
    api.close()


def check_memory(cluster: Cluster) -> None:
    """The watcher of each host has brought samples of its own processes."""
    with psycopg.connect(cluster.settings.database_url("warehouse"), autocommit=True) as warehouse:

        def seen() -> dict[str, set[str]]:
            rows = warehouse.execute(
                "SELECT host, array_agg(DISTINCT role) FROM millrace.memory_sample GROUP BY 1"
            ).fetchall()
            return {host: set(roles) for host, roles in rows}

        roles = {"worker-2": {"celery-parent", "celery-child"}, "api-server": {"api-server"}}
        # A process is in the samples once it is old enough, which a worker's child may not be at the first look.
        until(lambda: set(seen()) >= HOSTS and all(seen()[host] >= roles[host] for host in roles), "samples of all")
        assert set(seen()) == HOSTS
        assert {host: seen()[host] for host in roles} == roles


def check_logs(cluster: Cluster) -> None:
    """No secret stands in what the services, tasks and database servers have logged."""
    state = cluster.state / "cluster"
    logs = [*state.glob("logs/*"), *state.glob("volumes/*/data.log"), *(state / "volumes" / "logs").rglob("*.log")]
    assert {file.stem for file in logs} >= {*HOSTS, "data", "attempt=1"}
    made = secrets_file.read(state / "env")
    assert not [(name, file) for file in logs for name, word in made.items() if word.encode() in file.read_bytes()]


def check_limits(cluster: Cluster) -> None:
    """A host is in a group of its own, where groups can be made."""
    place = Place(REPOSITORY, cluster.state / "cluster")
    limits = Limits(place.state)
    limits.enclose("probe", 1 << 20, ["true"])
    limits.close()
    groups = Path(f"/proc/{plan.first_process(place, 'worker-1')}/cgroup").read_text()
    assert f"{limits.name}-worker-1\n" in groups or limits.fault
