"""deploy/tls.yaml over docker-compose.yaml: what it says together, and its servers and clients as they are started."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from stack import secrets_file
from stack.cluster.compose import Service, read_services
from stack.ports import free_port, scratch_folder
from stack.postgres import PostgresServer
from stack.tls import folder
from tests.conftest import QUICK
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE, OVER = REPOSITORY / "docker-compose.yaml", REPOSITORY / "deploy" / "tls.yaml"
SECRETS = {name: f"secret-{name.lower()}" for name in secrets_file.MADE}
PROFILES = frozenset({"flower", "monitoring"})
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # Debian's, which can do TLS
OURS = ("init", "api-server", "scheduler", "dag-processor", "triggerer", "cleaner", "worker", "flower")


def services(**more: str) -> dict[str, Service]:
    found = read_services(COMPOSE, {**SECRETS, **more}, PROFILES, [OVER])
    return {one.name: one for one in found}


def test_no_address_between_services_is_in_the_clear() -> None:
    for service in services().values():
        for name, value in service.environment.items():
            assert not re.search(r"\b(http|redis)://\S*(api-server|redis)", value), f"{service.name}: {name}={value}"
    for name in OURS:
        environment = services()[name].environment
        assert environment["PGSSLMODE"] == "verify-full"
        assert environment["AIRFLOW__API__BASE_URL"] == "https://localhost:8080"
        assert environment["AIRFLOW__API__SSL_CA_FILE"] == environment["PGSSLROOTCERT"] == "/tls/ca/ca.crt"
    seen = services(BASE_URL="https://airflow.example.com")["worker"].environment["AIRFLOW__API__BASE_URL"]
    assert seen == "https://airflow.example.com"


def test_each_server_has_its_own_key_and_nobody_that_of_the_ca(tls: Path) -> None:
    for service in services(TLS_FOLDER=str(tls)).values():
        mounted = {one.removesuffix(":ro").rpartition(":")[0] for one in service.volumes if "/tls" in one}
        mounted = {one for one in mounted if one.startswith(str(tls))}
        keys = {file for place in mounted for file in Path(place).rglob("*.key")}
        wanted = {tls / service.name / "server.key"} if service.name in folder.SERVERS else set()
        assert keys == wanted, service.name
        clients = {*OURS, "redis", "prometheus"}
        assert (str(tls / "ca") in mounted) == (service.name in clients), service.name
        assert all(one.endswith(":ro") for one in service.volumes if "/tls/" in one)


def test_what_a_service_had_it_keeps() -> None:
    plain = {one.name: one for one in read_services(COMPOSE, SECRETS, PROFILES)}
    for name, service in services().items():
        assert {*plain[name].environment} <= {*service.environment}
        targets = {one.removesuffix(":ro").rpartition(":")[2] for one in plain[name].volumes}
        assert targets <= {one.removesuffix(":ro").rpartition(":")[2] for one in service.volumes}
        assert service.command[-len(plain[name].command) :] == plain[name].command or name == "api-server"
    assert services()["api-server"].command[:3] == plain["api-server"].command
    passwords = {name: plain["worker"].environment[name] for name in ("AIRFLOW_CONN_WAREHOUSE",)}
    assert {name: services()["worker"].environment[name] for name in passwords} == passwords


def test_prometheus_asks_for_the_same_by_tls() -> None:
    plain, tls = (
        yaml.safe_load((REPOSITORY / "deploy" / "monitoring" / f"{name}.yml").read_text())
        for name in ("prometheus", "prometheus-tls")
    )
    (job,) = tls["scrape_configs"]
    assert (job.pop("scheme"), job.pop("tls_config")) == ("https", {"ca_file": "/tls/ca/ca.crt"})
    assert tls == plain
    assert [one for one in services()["prometheus"].volumes if "prometheus.yml" in one] == [
        "./deploy/monitoring/prometheus-tls.yml:/etc/prometheus/prometheus.yml:ro"
    ]


@pytest.fixture(scope="module")
def database(tls: Path) -> Iterator[PostgresServer]:
    """A server with the settings that the script of the compose file adds."""
    place = scratch_folder("millrace-tls-")
    quick = {**QUICK, "listen_addresses": "127.0.0.1,127.0.0.2"}
    server = PostgresServer(place / "data", free_port(), quick, binaries=PROGRAMS[-1], password="secret")
    server.start()
    try:
        script = " ".join(services()["warehouse-db"].command)
        settings = dict(re.findall(r"-c ((?:ssl|hba)\w*)=(\S+)", script))
        assert {*settings} == {"ssl", "ssl_min_protocol_version", "hba_file", "ssl_cert_file", "ssl_key_file"}
        # All clients of a test come from where the file trusts a container's own, so its last line alone is taken.
        last = (REPOSITORY / "deploy" / "tls" / "pg_hba.conf").read_text().splitlines()[-1]
        files = {"hba_file": _own(server, "hba", f"{last}\n".encode())}
        for setting, name in (("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")):
            files[setting] = _own(server, name, (tls / "warehouse-db" / name).read_bytes())
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for setting, value in {**settings, **files}.items():
                connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        server.restart()
        yield server
    finally:
        server.destroy()
        shutil.rmtree(place)


def _own(server: PostgresServer, name: str, content: bytes) -> str:
    """A file of the server's own user, as the script makes it."""
    file = server.data_dir / name
    file.write_bytes(content)
    file.chmod(0o600)
    owner = file.parent.stat()
    os.chown(file, owner.st_uid, owner.st_gid)
    return str(file)


def by_psycopg(address: str) -> Any:
    with psycopg.connect(f"postgresql://{address}") as connection:
        return connection.execute(ENCRYPTED).fetchone()


def by_psycopg2(address: str) -> Any:
    engine = create_engine(f"postgresql+psycopg2://{address}")
    try:
        with engine.connect() as connection:
            return tuple(connection.execute(text(ENCRYPTED)).one())
    finally:
        engine.dispose()


def by_asyncpg(address: str) -> Any:
    async def asked() -> Any:
        engine = create_async_engine(f"postgresql+asyncpg://{address}")
        try:
            async with engine.connect() as connection:
                return tuple((await connection.execute(text(ENCRYPTED))).one())
        finally:
            await engine.dispose()

    return asyncio.run(asked())


ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
CLIENTS = [by_psycopg, by_psycopg2, by_asyncpg]
# psycopg2 brings an OpenSSL of its own, which beside another in one process does not always find its words.
UNTRUSTED = "certificate verify failed|CERTIFICATE_VERIFY_FAILED|SSL error: no SSL error reported"
MISNAMED = "does not match host name|Hostname mismatch|not valid for|IP address mismatch"


@pytest.mark.tls
@pytest.mark.parametrize("client", CLIENTS, ids=[one.__name__ for one in CLIENTS])
def test_each_client_of_airflow_and_of_ours_asks_postgresql_for_its_name(
    client: Any, database: PostgresServer, tls: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services()["scheduler"].environment
    monkeypatch.setenv("PGSSLMODE", environment["PGSSLMODE"])
    monkeypatch.setenv("PGSSLROOTCERT", environment["PGSSLROOTCERT"].replace("/tls/", f"{tls}/"))
    address = f"postgres:secret@%s:{database.port}/postgres"
    assert client(address % "localhost") == (True,)
    with pytest.raises(Exception, match=MISNAMED):
        client(address % "127.0.0.2")
    monkeypatch.setenv("PGSSLROOTCERT", str(other / "ca" / "ca.crt"))
    with pytest.raises(Exception, match=UNTRUSTED):
        client(address % "localhost")


@pytest.mark.tls
def test_postgresql_answers_nobody_in_the_clear(database: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry .* no encryption"):
        psycopg.connect(f"postgresql://postgres:secret@localhost:{database.port}/postgres?sslmode=disable")


@pytest.mark.tls
def test_postgresql_reads_the_whole_of_who_gets_in(database: PostgresServer, tls: Path) -> None:
    file = _own(database, "whole", (REPOSITORY / "deploy" / "tls" / "pg_hba.conf").read_bytes())
    rules = "SELECT type, auth_method, error FROM pg_hba_file_rules ORDER BY line_number"
    address = f"postgresql://postgres:secret@localhost:{database.port}/postgres?sslmode=require"
    with psycopg.connect(address, autocommit=True) as connection:
        before = connection.execute("SHOW hba_file").fetchone()
        assert before is not None
        shutil.copy(file, before[0])
        assert connection.execute(rules).fetchall() == [
            ("local", "trust", None), ("host", "trust", None), ("host", "trust", None),
            ("hostssl", "scram-sha-256", None),
        ]  # fmt: skip


@pytest.fixture(scope="module")
def queue(tls: Path) -> Iterator[int]:
    """The port of Redis as the compose file starts it, once the health check of that file says that it is well."""
    service, port, place = services()["redis"], free_port(), scratch_folder("millrace-redis-")

    def here(part: str) -> str:
        moved = part.replace("/tls/server/", f"{tls}/redis/").replace("/tls/ca/", f"{tls}/ca/")
        moved = moved.replace("tls-port 6379", f"tls-port {port}").replace("bind * -::*", "bind 127.0.0.1 127.0.0.2")
        return moved.replace("redis-cli ", f"redis-cli -p {port} ")

    environment = {**os.environ, **{name: here(value) for name, value in service.environment.items()}}
    process = subprocess.Popen([here(one) for one in service.command], env=environment, cwd=place)
    health = [here(one) for one in service.health]
    try:
        until(lambda: not subprocess.run(health, env=environment, check=False).returncode, "the health check")
        yield port
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(place)


def celery(port: int, host: str, ca: Path) -> Celery:
    """Celery with the addresses of the compose file."""
    environment = services()["worker"].environment
    broker, results = (
        environment[name].replace("redis:6379", f"{host}:{port}").replace("/tls/ca/ca.crt", str(ca / "ca" / "ca.crt"))
        for name in ("AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND")
    )
    return Celery(broker=broker, backend=results, broker_connection_timeout=5)


@pytest.mark.redis
def test_celery_has_queue_and_results_by_tls(queue: int, tls: Path) -> None:
    app = celery(queue, "localhost", tls)
    with app.connection_for_write() as connection:
        app.send_task("nothing", connection=connection)
        assert connection.default_channel.queue_declare("celery", passive=True).message_count == 1
    app.backend.set("key", "value")
    assert app.backend.get("key") == b"value"


@pytest.mark.redis
@pytest.mark.parametrize(("host", "which", "fault"), [
    ("localhost", "other", "CERTIFICATE_VERIFY_FAILED"), ("127.0.0.2", "tls", "IP address mismatch"),
])  # fmt: skip
def test_celery_asks_redis_for_its_name(
    host: str, which: str, fault: str, queue: int, request: pytest.FixtureRequest
) -> None:
    app = celery(queue, host, request.getfixturevalue(which))
    with app.connection_for_write() as connection, pytest.raises(OperationalError, match=fault):
        connection.ensure_connection(max_retries=1, timeout=5)
    with pytest.raises(redis.exceptions.ConnectionError, match=fault):
        app.backend.client.ping()


@pytest.mark.redis
def test_redis_answers_nobody_in_the_clear(queue: int) -> None:
    client = redis.Redis(port=queue, password=SECRETS["REDIS_PASSWORD"])
    with pytest.raises(redis.exceptions.ConnectionError):
        client.ping()
    client.close()
