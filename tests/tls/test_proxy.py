"""deploy/proxy.yaml: a real nginx with the project's configuration, in front of a small server on this machine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import Depends, FastAPI, Request

from include.images.limits import LIMITS
from include.pages.same_site import same_site
from stack import secrets_file
from stack.cluster.compose import Service, read_services
from stack.ports import free_port, scratch_folder
from tests.served import served
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE, OVER = REPOSITORY / "docker-compose.yaml", REPOSITORY / "deploy" / "proxy.yaml"
SECRETS = {name: f"secret-{name.lower()}" for name in secrets_file.MADE}
OUTSIDE = "https://airflow.example.com"
BROWSER = "127.0.0.9"  # another address of this machine, so that it is told from the proxy's own
MEGABYTE = 1 << 20

pytestmark = pytest.mark.proxy


def services(*over: Path) -> dict[str, Service]:
    found = read_services(COMPOSE, {**SECRETS, "BASE_URL": f"{OUTSIDE}/"}, over=over)
    return {one.name: one for one in found}


def application(seen: list[str]) -> FastAPI:
    """Says what it saw of a request."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "PUT"])
    async def told(request: Request, path: str) -> dict[str, Any]:
        seen.append(path)
        client = request.client
        assert client is not None
        return {
            "client": client.host, "url": str(request.url), "size": len(await request.body()),
            "headers": dict(request.headers),
        }  # fmt: skip

    @app.post("/{path:path}", dependencies=[Depends(same_site)])
    async def changed(path: str) -> str:
        return "changed"

    return app


@dataclass(frozen=True)
class Proxy:
    """Its ports, the CA of its certificate, the paths that the server behind it was asked for, and its log."""

    https: int
    http: int
    ca: Path
    seen: list[str]
    log: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    def client(self, address: str = BROWSER) -> httpx.Client:
        """A browser at that address."""
        transport = httpx.HTTPTransport(verify=self.context, local_address=address, retries=0)
        return httpx.Client(base_url=self.url, transport=transport, timeout=60)

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    @contextmanager
    def opened(self) -> Iterator[ssl.SSLSocket]:
        """A connection to write to by hand."""
        with (
            socket.create_connection(("127.0.0.1", self.https), 30) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as found,
        ):
            yield found


@contextmanager
def running(upstream: str, tls: Path, seen: list[str], change: Callable[[str], str] = str) -> Iterator[Proxy]:
    """nginx as the compose file starts it, in front of that server; `change` alters its configuration."""
    service, place = services(OVER)["proxy"], scratch_folder("millrace-proxy-")
    https, http = free_port(), free_port()
    moves = {
        "/tls/server/": f"{tls}/proxy/", "/tls/ca/": f"{tls}/ca/", "/var/tmp/": f"{place}/", "/tmp/": f"{place}/",
        "/etc/nginx/millrace.conf": f"{place}/millrace.conf", "8443 ssl": f"127.0.0.1:{https} ssl",
        "listen 8080": f"listen 127.0.0.1:{http}",
    }  # fmt: skip

    def here(text: str) -> str:
        # At once, as what replaces one path holds another.
        return re.sub("|".join(map(re.escape, moves)), lambda found: moves[found[0]], text)

    text = here(change((REPOSITORY / "deploy" / "proxy" / "nginx.conf").read_text()))
    (place / "millrace.conf").write_text(text)
    script = here(service.command[-1]).replace("mkdir -p /var/tmp/proxy", f"mkdir -p {place}/proxy")
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", **service.environment, "API": upstream}
    with (place / "log").open("ab") as log:  # nginx opens its standard output once more: neither writes over the other
        process = subprocess.Popen([*service.command[:-1], script], env=environment, stdout=log, stderr=log)
    found = Proxy(https, http, tls / "ca" / "ca.crt", seen, place / "log")
    try:
        until(lambda: process.poll() is not None or _listens(https), "nginx")
        assert process.poll() is None, (place / "log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(place)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def proxy(tls: Path) -> Iterator[Proxy]:
    """The proxy as it is."""
    seen: list[str] = []
    with served(application(seen), forwarded_allow_ips="127.0.0.1") as url, running(url, tls, seen) as found:
        yield found


@pytest.fixture(scope="module")
def hasty(tls: Path) -> Iterator[Proxy]:
    """The proxy with a tenth of its patience."""

    def change(text: str) -> str:
        for name, seconds in (("client_header_timeout", 10), ("client_body_timeout", 15)):
            assert f"{name} {seconds}s;" in text
            text = text.replace(f"{name} {seconds}s;", f"{name} {seconds * 100}ms;")
        return text

    seen: list[str] = []
    with served(application(seen)) as url, running(url, tls, seen, change) as found:
        yield found


def test_the_compose_file_lets_the_api_server_believe_this_proxy_alone() -> None:
    found, plain, raw = services(OVER), services(), yaml.safe_load(OVER.read_text())
    address = raw["services"]["proxy"]["networks"]["front"]["ipv4_address"]
    assert raw["services"]["api-server"]["environment"]["FORWARDED_ALLOW_IPS"] == address
    assert found["api-server"].environment["FORWARDED_ALLOW_IPS"] == "172.31.250.2"
    assert found["api-server"].networks == [*plain["api-server"].networks, "front"]
    assert found["proxy"].networks == ["front"], "no database is within its reach"
    assert found["proxy"].environment.keys() == {"API", "OUTSIDE"}, "and no secret"
    assert {name for name, one in found.items() if one != plain.get(name)} == {"proxy", "api-server"}


def test_the_server_sees_the_browser_and_its_address(proxy: Proxy) -> None:
    lies = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil", "Forwarded": "for=1"}
    with proxy.client() as browser:
        answer = browser.get("/any/page?x=1", headers=lies)
    told = answer.json()
    assert (told["client"], told["url"]) == (BROWSER, f"{proxy.url}/any/page?x=1")
    assert not [value for value in told["headers"].values() if value in lies.values()]
    assert answer.headers["strict-transport-security"]
    assert "/" not in answer.headers["server"], "which version it is, nobody is told"


@pytest.mark.parametrize(("headers", "status"), [
    ({"Origin": "HERE"}, 200), ({"Origin": "HERE", "Sec-Fetch-Site": "same-origin"}, 200),
    ({"Origin": "https://evil.example"}, 403), ({"Origin": "http://127.0.0.1"}, 403), ({}, 403),
])  # fmt: skip
def test_a_page_of_this_site_may_change_things_and_no_other(headers: dict[str, str], status: int, proxy: Proxy) -> None:
    with proxy.client() as browser:
        sent = {name: value.replace("HERE", proxy.url) for name, value in headers.items()}
        assert browser.post("/millrace/images/retry", headers=sent).status_code == status


def test_plain_http_is_sent_to_the_address_that_browsers_see(proxy: Proxy) -> None:
    answer = httpx.get(f"http://127.0.0.1:{proxy.http}/dags/x?y=1")
    assert (answer.status_code, answer.headers["location"]) == (308, f"{OUTSIDE}/dags/x?y=1")


def test_what_tasks_ask_is_no_business_of_the_outside(proxy: Proxy) -> None:
    with proxy.client() as browser:
        for path in ("/execution/health", "/execution", "//execution/health", "/%65xecution/health"):
            before = len(proxy.seen)
            assert browser.get(f"{proxy.url}{path}").status_code == 404, path
            assert len(proxy.seen) == before, path


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(chunked: bool, proxy: Proxy) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(11):
            yield bytes(MEGABYTE)

    before = len(proxy.seen)
    with proxy.client() as browser:
        try:
            answer = browser.put("/api/v2/dags", content=pieces() if chunked else bytes(11 * MEGABYTE))
            assert answer.status_code == 413
        except httpx.WriteError:  # it has answered and does not read on
            pass
    assert len(proxy.seen) == before


def test_what_the_header_says_is_believed_before_a_body_comes(proxy: Proxy) -> None:
    with proxy.opened() as connection:
        connection.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_pictures_may_be_as_large_as_the_server_takes_them(proxy: Proxy) -> None:
    with proxy.client() as browser:
        for path in ("/millrace/images", "/millrace/upload"):
            answer = browser.put(path, content=bytes(30 * MEGABYTE))
            assert answer.json()["size"] == 30 * MEGABYTE
    size = 511 * MEGABYTE
    assert size > LIMITS.request_bytes, "whose refusal says more"
    with proxy.opened() as connection:
        connection.sendall(f"PUT /millrace/images HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_header_that_drips_is_cut_off(hasty: Proxy) -> None:
    assert 0.9 < _cut(hasty, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", 0.2) < 4, "in all, and not from byte to byte"


def test_a_body_that_stops_is_cut_off_and_the_server_never_saw_it(hasty: Proxy) -> None:
    head = b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"
    with hasty.opened() as connection:
        connection.sendall(head)
        began = time.monotonic()
        with suppress(OSError):
            while connection.recv(1000):
                pass
        assert 1.4 < time.monotonic() - began < 5
    assert "slow" not in hasty.seen


def test_a_body_that_drips_holds_no_connection_of_the_server(hasty: Proxy) -> None:
    with hasty.opened() as connection:
        connection.sendall(b"PUT /drip HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        for _ in range(9):
            time.sleep(0.3)
            connection.sendall(b"x")
        assert "drip" not in hasty.seen
        connection.sendall(b"x")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert "drip" in hasty.seen


def _cut(proxy: Proxy, begins: bytes, pause: float) -> float:
    """Seconds until the connection ends, of a client that sends a byte each `pause`."""
    with proxy.opened() as connection:
        began = time.monotonic()
        connection.sendall(begins)
        connection.settimeout(pause)
        while time.monotonic() - began < 20:
            try:
                if not connection.recv(1000):
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            with suppress(OSError):
                connection.sendall(b"x")
    return time.monotonic() - began


def test_an_address_that_asks_too_often_is_told_and_others_are_not(proxy: Proxy) -> None:
    with proxy.client("127.0.0.11") as browser, proxy.client("127.0.0.12") as other:
        codes = [browser.get("/page").status_code for _ in range(60)]
        assert set(codes) == {200}, "what a page asks for at once"
        with ThreadPoolExecutor(8) as threads:
            more = [*threads.map(lambda _: browser.get("/page").status_code, range(600))]
        assert set(more) == {200, 429}
        assert other.get("/page").status_code == 200
        until(lambda: browser.get("/page").status_code == 200, "patience", 5)


def test_a_link_to_a_picture_is_not_in_the_log(proxy: Proxy) -> None:
    starts = "/millrace/shared/", "//millrace//shared/"
    paths = [f"{start}{'T' * 68}{end}" for start in starts for end in ("/a.jpg", "")]
    with proxy.client("127.0.0.14") as browser:
        for path in (*paths, "/millrace/counts?x=1"):
            browser.get(f"{proxy.url}{path}")
        with ThreadPoolExecutor(8) as threads:
            codes = {*threads.map(lambda _: browser.get(paths[0]).status_code, range(600))}
    assert 429 in codes
    until(lambda: '"GET /millrace/counts?x=1 HTTP/1.1" 200 ' in proxy.log.read_text(), "the log")
    log = proxy.log.read_text()
    assert '"GET /millrace/shared/.../a.jpg HTTP/1.1" 200 ' in log
    assert [line for line in log.splitlines() if "TTT" in line][:1] == []


@pytest.mark.parametrize("path", ["/auth/token", "/auth/login/", "/auth/token/cli"])
def test_passwords_are_tried_at_a_slow_rate(path: str, proxy: Proxy) -> None:
    with proxy.client(f"127.0.0.{20 + len(path)}") as browser:
        codes = [browser.post(path, headers={"Authorization": "Bearer x"}).status_code for _ in range(40)]
    assert codes[:20] == [200] * 20
    assert codes[25:] == [429] * 15


def test_an_address_has_so_many_connections_and_no_more(proxy: Proxy) -> None:
    begun = b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    held = []
    try:
        for _ in range(60):
            plain = socket.create_connection(("127.0.0.1", proxy.https), 30, source_address=("127.0.0.13", 0))
            held.append(proxy.context.wrap_socket(plain, server_hostname="localhost"))
            held[-1].sendall(begun)
        held[-1].settimeout(10)
        assert held[-1].recv(100).startswith(b"HTTP/1.1 429 ")
    finally:
        for one in held:
            one.close()
    with proxy.client("127.0.0.13") as browser:
        until(lambda: browser.get("/page").status_code == 200, "room", 5)


@pytest.mark.parametrize(("certificate", "status"), [("api-server", 200), ("redis", 502), ("other", 502)])
def test_behind_it_the_server_proves_its_name(
    certificate: str, status: int, tls: Path, other: Path, tmp_path: Path
) -> None:
    place = other / "api-server" if certificate == "other" else tls / certificate
    keys = {"ssl_certfile": str(place / "server.crt"), "ssl_keyfile": str(place / "server.key")}
    with served(application([]), **keys) as url, running(url, tls, []) as proxy, proxy.client() as browser:
        assert browser.get("/page").status_code == status


def test_old_tls_is_refused(proxy: Proxy) -> None:
    context = proxy.context
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", proxy.https), 10) as plain, pytest.raises(OSError):  # noqa: PT011
        context.wrap_socket(plain, server_hostname="localhost")
