"""Many clients that upload one picture after the other: `python -m bench.images.client` reads an order as JSON.

A process of its own with nothing but sockets, as it shares the cores with the server that is measured. The file is sent
from memory with a comment of its own after the first two bytes, so that no two uploads have the same bytes.
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
    """What came back: one entry an upload."""

    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # of uploads that broke, took too long, or were not answered 2xx
    all_seconds: float = 0.0

    def percentile(self, percent: float) -> float:
        """So many per cent of the uploads took no longer."""
        return sorted(self.seconds)[max(0, math.ceil(percent / 100 * len(self.seconds)) - 1)]


class Sender:
    """Sends the file with another comment each time."""

    def __init__(self, order: Order) -> None:
        url, data = urlsplit(order.url), Path(order.file).read_bytes()
        self._address = url.hostname, url.port
        self._rest = memoryview(data[2:] + (PART_END if order.form else b""))
        begin = (PART_HEAD if order.form else b"") + data[:2]
        kind = f"multipart/form-data; boundary={BOUNDARY}" if order.form else "image/jpeg"
        length = len(begin) + 4 + 2 * MARK_BYTES + len(self._rest)
        lines = [
            f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}", f"Content-Type: {kind}", f"Content-Length: {length}",
            *([f"Authorization: Bearer {order.token}"] if order.token else []),
        ]  # fmt: skip
        self._begin = "\r\n".join([*lines, "", ""]).encode() + begin

    async def connect(self) -> socket.socket:
        """A new connection."""
        made = socket.socket()
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, self._address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    async def upload(self, connection: socket.socket) -> tuple[int, bytes]:
        """One upload; returns status and body of the answer."""
        loop = asyncio.get_running_loop()
        comment = b"\xff\xfe" + struct.pack(">H", 2 + 2 * MARK_BYTES) + secrets.token_hex(MARK_BYTES).encode()
        await loop.sock_sendall(connection, self._begin + comment)
        await loop.sock_sendall(connection, self._rest)
        got, missing = b"", 1
        while missing > 0:
            part = await loop.sock_recv(connection, 1 << 16)
            if not part:
                raise ConnectionError("the server closed the connection without a whole answer")
            got += part
            head, end, body = got.partition(b"\r\n\r\n")
            if end:
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next(line.partition(":")[2] for line in lines if line.startswith("content-length:"))
                missing = int(length) - len(body)
        return int(head.split()[1]), body


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
        if not 200 <= status < 300:
            found.faults.append(body.decode(errors="replace")[:200])
        elif body.startswith(b"{"):  # Millrace's answer has ids
            found.ids += [one["id"] for one in json.loads(body).get("images", [])]
    connection.close()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(upload_all(Order(**json.loads(sys.stdin.read())))))))
