"""Fetches a picture from a URL, on behalf of who asked: only from listed origins, within limits of size and time.

Who asks can't make the server reach what is near it. Each address, also one that a redirect leads to, must be of a
listed origin; the name is looked up once, what it leads to is judged, and that very address is called.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpx

from include.images import origins
from include.images.limits import Limits
from include.images.upload.checked_file import Refused
from include.images.upload.request_files import Receiver

SECONDS = 30.0  # for all of it: shorter than what proxies wait for an answer
CONNECT_SECONDS = 5.0
REDIRECTS = 3
# Networks whose last four bytes are an address of IPv4: mapped and compatible ones, and NAT64.
WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96")))
# No packing: what a few bytes unpack to has no limit until it is there.
HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "Millrace"}


@dataclass(frozen=True)
class Sources:
    """Where pictures may be fetched from (`https://host[:port]` each). None: from nowhere.

    With `private`, a name may lead to an address that is not public.
    """

    origins: tuple[str, ...] = ()
    private: bool = False

    def allows(self, url: str) -> bool:
        """Whether this URL may be fetched."""
        return origins.allows(self.origins, url)

    def reaches(self, address: str, *, listed: bool) -> bool:
        """Whether an IP address may be called: a public one, one that is `listed` itself, others with `private`.

        Never one of this link, where clouds tell machines their secrets.
        """
        found = _meant(address.partition("%")[0])
        if found.is_link_local or found.is_multicast or found.is_unspecified:
            return False
        return listed or self.private or found.is_global


def _meant(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address, or that of IPv4 which one of IPv6 leads to: Python calls those global, wherever they lead."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv4Address) or found.is_loopback or found.is_unspecified:
        return found
    if any(found in network for network in WITH_IPV4):
        return ipaddress.IPv4Address(found.packed[-4:])
    return found.sixtofour or found


async def fetch(url: str, sources: Sources, receiver: Receiver, limits: Limits) -> None:
    """Stream the picture at a URL into the receiver. Raises Refused, with the status that tells who is at fault."""
    try:
        async with asyncio.timeout(SECONDS):
            await _fetch(url, sources, receiver, limits)
    except (TimeoutError, httpx.TimeoutException):
        raise Refused(
            504, "timeout", f"the server at {_host(url)} took too long: more than {SECONDS:g} seconds"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as fault:
        raise Refused(502, "source", f"fetching from {_host(url)} failed: {fault or type(fault).__name__}") from fault


async def _fetch(url: str, sources: Sources, receiver: Receiver, limits: Limits) -> None:
    name, trust = httpx.URL(url).path, await asyncio.to_thread(_trust)
    # Nothing of the environment: a proxy would look the name up again, and .netrc has logins.
    async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=httpx.Timeout(SECONDS)) as client:
        for _ in range(REDIRECTS + 1):
            if not sources.allows(url):
                raise Refused(422, "origin", f"the server redirected to {url[:200]}, whose origin is not allowed")
            async with _called(client, httpx.URL(url), sources) as answer:
                if not answer.has_redirect_location:
                    await _take(answer, url, name, receiver, limits)
                    return
                url = str(httpx.URL(url).join(answer.headers["location"]))
    raise Refused(502, "source", f"the server at {_host(url)} redirected more than {REDIRECTS} times")


@asynccontextmanager
async def _called(client: httpx.AsyncClient, url: httpx.URL, sources: Sources) -> AsyncIterator[httpx.Response]:
    """The answer's head, from the first of the name's addresses that can be reached."""
    host, fault = url.raw_host.decode(), httpx.ConnectError("no address of it can be reached")
    for address in await _addresses(url, sources):
        request = client.build_request(
            "GET", url.copy_with(host=address, fragment=None), headers={**HEADERS, "Host": url.netloc.decode()},
            # Whom the certificate must be for.
            extensions={"sni_hostname": host, "timeout": {"connect": CONNECT_SECONDS, "read": SECONDS}},
        )  # fmt: skip
        try:
            answer = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            fault = httpx.ConnectError(str(error) or "it does not answer")
            continue
        try:
            yield answer
        finally:
            await answer.aclose()
        return
    raise fault


async def _addresses(url: httpx.URL, sources: Sources) -> list[str]:
    """What the host's name leads to, if that may be called. Raises Refused, or OSError for a name that is not known."""
    port = url.port or {"http": 80}.get(url.scheme, 443)
    host = url.raw_host.decode().strip("[]")
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    allowed = [one for one in addresses if sources.reaches(one, listed=one == host)]
    if not allowed:
        raise Refused(422, "origin", f"{host} leads to an address that pictures may not be fetched from")
    return allowed


async def _take(answer: httpx.Response, url: str, name: str, receiver: Receiver, limits: Limits) -> None:
    """The body, into the receiver, which judges it as that of an upload."""
    if answer.status_code != 200:
        raise Refused(502, "source", f"the server at {_host(url)} answered {answer.status_code}")
    packing = answer.headers.get("content-encoding", "identity")
    if packing.lower() != "identity":
        raise Refused(502, "source", f"the server at {_host(url)} sent it packed by {packing[:40]}, unasked")
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.file_bytes:
        raise Refused(413, "too-large", f"the file is larger than {limits.file_bytes / 1e6:g} MB")
    receiver.begin(name)
    async for part in answer.aiter_raw():
        receiver.write(part)
        if receiver.refused:  # no more of it is needed
            return
    receiver.end()


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes long enough to be felt by others."""
    return httpx.create_ssl_context()


def _host(url: str) -> str:
    return httpx.URL(url).netloc.decode()
