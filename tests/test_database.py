"""Airflow's Connections lead to PostgreSQL as Airflow documents them: by TLS, with tokens, with libpq's settings."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Connection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from include.bridge.database import address, connected
from include.bridge.web.pool import Pool
from include.memory.shipping.ship import warehouse
from include.warehouse.address import OF_THE_HOOK
from stack.databases import prepare
from stack.ports import free_port, scratch_folder
from stack.postgres import PostgresServer
from tests.conftest import PASSWORDS, QUICK

PEM = serialization.Encoding.PEM
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # Debian's, which can do TLS

pytestmark = pytest.mark.tls


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server with a certificate for `localhost`; `ca.pem` beside its data has signed it, `other.pem` has not."""
    folder = scratch_folder("millrace-tls-")
    found = PostgresServer(folder / "data", free_port(), QUICK, binaries=PROGRAMS[-1])
    found.start()
    try:
        prepare(found.dsn(), PASSWORDS)
        ca_key, ca = certificate("a CA")
        key, signed = certificate("localhost", (ca_key, ca))
        put(found.data_dir / "server.crt", signed.public_bytes(PEM))
        put(found.data_dir / "server.key", key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))  # fmt: skip
        (folder / "ca.pem").write_bytes(ca.public_bytes(PEM))
        (folder / "other.pem").write_bytes(certificate("another CA")[1].public_bytes(PEM))
        with psycopg.connect(found.dsn(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        yield found
    finally:
        found.destroy()
        shutil.rmtree(folder)


def certificate(name: str, by: tuple[Any, x509.Certificate] | None = None) -> tuple[Any, x509.Certificate]:
    """A key and its certificate: a CA's own, or one that it has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(by[1].subject if by else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
    )  # fmt: skip
    return key, made.sign(by[0] if by else key, hashes.SHA256())


def put(file: Path, content: bytes) -> None:
    """A file of the server's own user."""
    file.write_bytes(content)
    file.chmod(0o600)
    owner = file.parent.stat()
    os.chown(file, owner.st_uid, owner.st_gid)


def connection(server: PostgresServer, **more: Any) -> Connection:
    values: dict[str, Any] = {
        "conn_type": "postgres", "host": "localhost", "port": server.port, "login": "ingest",
        "password": PASSWORDS["ingest"], "schema": "warehouse", **more,
    }  # fmt: skip
    return Connection(conn_id="there", **{**values, "extra": json.dumps(values.get("extra", {}))})


@pytest.fixture
def there(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names a Connection `there`."""

    def named(**more: Any) -> Connection:
        found = connection(server, **more)
        monkeypatch.setenv("AIRFLOW_CONN_THERE", found.as_json())
        return found

    return named


@pytest.mark.parametrize("way", ["connected", "address"])
def test_tls_with_the_name_in_the_certificate(server: PostgresServer, there: Any, way: str) -> None:
    def encrypted() -> Any:
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        if way == "connected":
            with connected("there", "millrace-test") as opened:
                return opened.execute(query).fetchone()
        with psycopg.connect(address(found, "millrace-test")) as opened:
            return opened.execute(query).fetchone()

    trusted, other = (str(server.data_dir.parent / name) for name in ("ca.pem", "other.pem"))
    found = there(extra={"sslmode": "verify-full", "sslrootcert": trusted})
    assert encrypted() == (True,)
    found = there(extra={"sslmode": "verify-full", "sslrootcert": other})
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        encrypted()
    found = there(host="127.0.0.1", extra={"sslmode": "verify-full", "sslrootcert": trusted})
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        encrypted()
    found = there(extra={"sslmode": "disable"})
    assert encrypted() == (False,)


def test_settings_of_libpq_and_extras_of_the_hook(there: Any) -> None:
    found = there(extra={"options": "-c search_path=millrace", "cursor": "dictcursor", "application_name": "theirs"})
    query = "SELECT current_setting('search_path'), current_setting('application_name')"
    with connected("there", "millrace-test") as opened:
        assert opened.autocommit
        assert opened.execute(query).fetchone() == ("millrace", "millrace-test")
    with psycopg.connect(address(found, "millrace-test")) as opened:
        assert opened.execute(query).fetchone() == ("millrace", "millrace-test")


def test_the_watcher_knows_the_extras_too(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"cursor": "dictcursor", "iam": False, "options": "-c search_path=millrace"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection(server, extra=extra).as_json())
    with psycopg.connect(warehouse() or "") as opened:
        assert opened.execute("SELECT current_setting('search_path')").fetchone() == ("millrace",)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection(server, password="", extra={"iam": True}).as_json())
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(warehouse() or "")
    assert set(PostgresHook.ignored_extra_options) == OF_THE_HOOK


@pytest.mark.parametrize("extra", [
    {"cursor": "dictcursor", "iam": "false", "options": "-c search_path=millrace", "application_name": "theirs"},
    {"cursor": "dictcursor", "iam": False, "options": "-c search_path=millrace", "connect_timeout": 7},
    {"sqlalchemy_query": {"a": 1}, "options": "-c search_path=millrace"}, {"options": "-c search_path=millrace"},
])  # fmt: skip
def test_the_watcher_knows_them_in_a_url_too(
    extra: dict[str, Any], server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as superuser:
        superuser.execute("ALTER ROLE ingest PASSWORD 'p@ss/w:d?&%'")
    found = connection(server, password="p@ss/w:d?&%", extra=extra)
    try:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", found.get_uri())
        query = "SELECT current_setting('search_path'), current_setting('application_name')"
        with psycopg.connect(warehouse() or "") as opened:
            assert opened.execute(query).fetchone() == ("millrace", "millrace-watch")
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as superuser:
            superuser.execute(f"ALTER ROLE ingest PASSWORD '{PASSWORDS['ingest']}'")


def test_a_token_is_asked_for_anew(server: PostgresServer, there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["first", "second", "third"])
    superuser = server.dsn()

    def token(_: PostgresHook, asked: Connection) -> tuple[str, str, int]:
        """The service gives a password that the server accepts from now on."""
        made = next(tokens)
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE ingest PASSWORD '{made}'")
        return asked.login or "", made, server.port

    async def by_the_pool(found: Connection) -> list[Any]:
        pool = Pool(lambda: address(found, "millrace-test"), 1)
        await pool.open(wait=False)
        said = []
        for _ in range(2):
            async with pool.connection() as opened:
                said.append(await (await opened.execute("SELECT current_user")).fetchone())
                await opened.close()
        await pool.close()
        return said

    found = there(password="", extra={"iam": True})
    monkeypatch.setattr(PostgresHook, "get_iam_token", token)
    with connected("there", "millrace-test") as opened:
        assert opened.execute("SELECT current_user").fetchone() == ("ingest",)
    assert asyncio.run(by_the_pool(found)) == [("ingest",)] * 2
    assert next(tokens, None) is None


def test_a_provider_that_a_token_needs_is_named(there: Any) -> None:
    found = there(extra={"iam": True})
    with pytest.raises(Exception, match=r"apache-airflow-providers-postgres\[amazon\]"):
        address(found, "millrace-test")
