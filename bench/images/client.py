"""Many clients that upload one picture after the other, each on a connection of its own.

`python -m bench.images.client` reads an order as JSON and prints what came back. A process of its own with nothing but
sockets, as it shares the cores with the server that is measured. The file is sent from memory with a comment of its
own after the first two bytes, so that no two uploads have the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

UPLOAD_SECONDS = 120.0
MARK_BYTES = 16
BOUNDARY = "millrace-bench-9b1c52e7"
PART_HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    "Content-Type: image/jpeg\r\n\r\n"
).encode()
PART_END = f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True)
class Order:
    """What to upload, where to, and how often in all."""

    url: str
    file: str
    count: int
    clients: int
    form: bool = False  # as multipart/form-data, else as the body
    token: str = ""


@dataclass
class Uploads:
    """What came back: one entry an upload. Status 0 is a connection that broke or took too long."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    all_seconds: float = 0.0

    def percentile(self, percent: float) -> float:
        """So many per cent of the uploads took no longer."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    @property
    def refused(self) -> int:
        """Uploads that were not answered 2xx."""
        return sum(not 200 <= status < 300 for status in self.statuses)


class Sender:
    """Sends the file with another comment each time."""

    def __init__(self, order: Order) -> None:
        self._parts = urlsplit(order.url)
        data = Path(order.file).read_bytes()
        self._rest = memoryview(data[2:] + (PART_END if order.form else b""))
        self._begin = (PART_HEAD if order.form else b"") + data[:2]
        kind = f"multipart/form-data; boundary={BOUNDARY}" if order.form else "image/jpeg"
        length = len(self._begin) + 4 + 2 * MARK_BYTES + len(self._rest)
        lines = [
            f"POST {self._parts.path} HTTP/1.1", f"Host: {self._parts.netloc}", f"Content-Type: {kind}",
            f"Content-Length: {length}", *([f"Authorization: Bearer {order.token}"] if order.token else []),
        ]  # fmt: skip
        self._head = "\r\n".join([*lines, "", ""]).encode()

    async def connect(self) -> socket.socket:
        """A new connection."""
        made = socket.socket()
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (self._parts.hostname, self._parts.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    async def upload(self, connection: socket.socket) -> tuple[int, bytes]:
        """One upload; returns status and body of the answer."""
        loop = asyncio.get_running_loop()
        comment = b"\xff\xfe" + struct.pack(">H", 2 + 2 * MARK_BYTES) + secrets.token_hex(MARK_BYTES).encode()
        await loop.sock_sendall(connection, self._head + self._begin + comment)
        await loop.sock_sendall(connection, self._rest)
        return await _answer(connection)


async def _answer(connection: socket.socket) -> tuple[int, bytes]:
    loop, got = asyncio.get_running_loop(), b""
    while b"\r\n\r\n" not in got:
        part = await loop.sock_recv(connection, 1 << 16)
        if not part:
            raise ConnectionError("the server closed the connection without an answer")
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    missing = int(headers["content-length"]) - len(body)
    while missing > 0 and (part := await loop.sock_recv(connection, 1 << 16)):
        body, missing = body + part, missing - len(part)
    return int(first.split()[1]), body


async def upload_all(order: Order) -> Uploads:
    """All uploads of an order."""
    sender, found, numbers = Sender(order), Uploads(), iter(range(order.count))
    began = time.perf_counter()
    await asyncio.gather(*(_client(sender, numbers, found) for _ in range(order.clients)))
    found.all_seconds = time.perf_counter() - began
    return found


async def _client(sender: Sender, numbers: Iterator[int], found: Uploads) -> None:
    connection = await sender.connect()
    for _ in numbers:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                status, body = await sender.upload(connection)
        except (OSError, TimeoutError) as fault:
            status, body = 0, repr(fault).encode()
            connection.close()
            connection = await sender.connect()
        found.seconds.append(time.perf_counter() - began)
        found.statuses.append(status)
        if 200 <= status < 300:
            found.ids += ids_of(body)
        else:
            found.faults.append(body.decode(errors="replace")[:200])
    connection.close()


def ids_of(body: bytes) -> list[str]:
    """The ids in Millrace's answer; none in another server's."""
    answer: Any = json.loads(body) if body.startswith(b"{") else {}
    return [one["id"] for one in answer.get("images", [])]


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(upload_all(Order(**json.loads(sys.stdin.read())))))))
