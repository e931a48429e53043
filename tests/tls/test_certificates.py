"""What `./run secrets --tls` makes, as OpenSSL and Python's own `ssl` judge it."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.tls import authority, folder


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def verified(certificate: Path, ca: Path, name: str) -> str:
    done = openssl(
        "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile", ca, certificate
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("server", folder.SERVERS)
def test_openssl_takes_each_for_its_own_name_and_no_other(server: str, tls: Path, other: Path) -> None:
    certificate, ca = tls / server / "server.crt", tls / "ca" / "ca.crt"
    for name in (server, "localhost"):
        assert verified(certificate, ca, name).rstrip().endswith(": OK"), name
    for name in {*folder.SERVERS} - {server}:
        assert "hostname mismatch" in verified(certificate, ca, name)
    assert "unable to get local issuer certificate" in verified(certificate, other / "ca" / "ca.crt", server)
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
    assert public == openssl("pkey", "-in", certificate.with_suffix(".key"), "-pubout").stdout, "the key is its own"


def test_the_ca_signs_servers_and_no_further_ca(tls: Path) -> None:
    text = openssl("x509", "-in", tls / "ca" / "ca.crt", "-noout", "-text").stdout
    for part in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign"):
        assert part in text
    assert "CA:FALSE" in openssl("x509", "-in", tls / "redis" / "server.crt", "-noout", "-text").stdout


@pytest.mark.parametrize(("trusted", "name", "fault"), [
    ("tls", "api-server", ""), ("tls", "127.0.0.1", ""), ("other", "api-server", "unable to get local issuer"),
    ("tls", "redis", "Hostname mismatch"), ("tls", "127.0.0.2", "IP address mismatch"),
])  # fmt: skip
def test_a_strict_client_of_python_shakes_hands(
    trusted: str, name: str, fault: str, tls: Path, request: pytest.FixtureRequest
) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tls / "api-server" / "server.crt", tls / "api-server" / "server.key")
    client = ssl.create_default_context(cafile=request.getfixturevalue(trusted) / "ca" / "ca.crt")
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # as Python 3.13 does by itself
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(OSError), server.wrap_socket(theirs, server_side=True) as opened:
            opened.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        if fault:
            with pytest.raises(ssl.SSLCertVerificationError, match=fault):
                client.wrap_socket(ours, server_hostname=name)
        else:
            with client.wrap_socket(ours, server_hostname=name) as opened:
                assert opened.version() == "TLSv1.3"
    finally:
        ours.close()
        thread.join()


def test_keys_are_within_reach_of_containers_and_of_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0o077)  # of a careful user, whose files no container could read
    try:
        folder.complete(tmp_path / "tls")
    finally:
        os.umask(before)
    place = tmp_path / "tls"
    modes = {str(file.relative_to(place)): oct(file.stat().st_mode & 0o777) for file in (place, *place.rglob("*"))}
    assert modes.pop(".") == "0o700"
    assert modes.pop("ca.key") == "0o600"
    assert modes == {name: "0o644" if name.endswith((".crt", ".key")) else "0o755" for name in modes}, (
        "what is mounted has the mode of what is mounted, whatever stands above it"
    )


def test_what_is_there_is_kept_and_what_lacks_is_made(tmp_path: Path) -> None:
    place = tmp_path / "tls"
    assert set(folder.complete(place)) == {"ca", *folder.SERVERS, "proxy"}
    first = {file: file.read_bytes() for file in place.rglob("*.*")}
    assert folder.complete(place) == []
    shutil.rmtree(place / "redis")
    assert folder.complete(place) == ["redis"]
    assert {file for file in place.rglob("*.*") if file.read_bytes() != first[file]} == {
        place / "redis" / "server.crt", place / "redis" / "server.key",
    }  # fmt: skip


def test_the_proxy_has_the_name_that_browsers_see_and_may_have_a_certificate_from_elsewhere(
    tmp_path: Path, other: Path
) -> None:
    place = tmp_path / "tls"
    folder.complete(place)
    assert folder.complete(place, "https://airflow.example.com:8443/") == ["proxy"]
    certificate = place / "proxy" / "server.crt"
    assert verified(certificate, place / "ca" / "ca.crt", "airflow.example.com").rstrip().endswith(": OK")
    for name in ("server.crt", "server.key"):
        shutil.copy(other / "redis" / name, place / "proxy" / name)
    assert folder.complete(place, "https://airflow.example.com/") == []
    assert certificate.read_bytes() == (other / "redis" / "server.crt").read_bytes()


def test_what_ends_soon_is_made_anew_and_the_ca_is_not_changed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tls"
    folder.complete(place)
    soon = folder.LEAST_DAYS - 1
    with monkeypatch.context() as context:
        context.setattr(authority, "DAYS", soon)
        ca = authority.Signed((place / "ca" / "ca.crt").read_bytes(), (place / "ca.key").read_bytes())
        made = authority.sign(ca, ("redis", *folder.LOCAL))
        (place / "redis" / "server.crt").write_bytes(made.certificate)
        (place / "redis" / "server.key").write_bytes(made.key)
    assert folder.complete(place) == ["redis"]
    with monkeypatch.context() as context:
        context.setattr(authority, "DAYS", soon)
        (place / "ca" / "ca.crt").write_bytes(authority.authority("short").certificate)
    with pytest.raises(StackError, match=f"ca.crt ends in less than .* remove {place}"):
        folder.complete(place)
    (place / "ca.key").unlink()
    with pytest.raises(StackError, match=f"{place}/ca.key is missing: put it back, or remove {place}"):
        folder.complete(place)


def test_certificates_that_another_ca_signed_or_that_are_none_are_made_anew(tmp_path: Path, other: Path) -> None:
    place = tmp_path / "tls"
    folder.complete(place)
    shutil.copy(other / "redis" / "server.crt", place / "redis" / "server.crt")
    (place / "api-server" / "server.crt").write_text("none\n")
    assert folder.complete(place) == ["redis", "api-server"]
