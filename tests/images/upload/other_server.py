"""Another server, to fetch pictures from: it answers each path as it is told, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], None]


@dataclass
class Other:
    """What the server answers by path, and the heads of the requests that came."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)

    def url(self, path: str = "", host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Of a path; of the origin alone without one."""
        return f"{scheme}://{host}:{self.port}{path}"

    def serve(self, connection: socket.socket) -> None:
        """One request."""
        with connection, contextlib.suppress(OSError):  # the client may leave at any time
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.heads.append(head.decode())
            path = head.split(b" ")[1].decode()
            self.answers.get(path, whole(b"", "404 Not Found"))(connection)


def whole(body: bytes, status: str = "200 OK", **headers: str) -> Answer:
    """An ordinary answer; in names of headers, _ stands for -."""
    given = {"content-length": str(len(body)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in given.items())
    return lambda connection: connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)


def to(url: str, status: str = "302 Found") -> Answer:
    """A redirect."""
    return whole(b"", status, location=url)


@contextmanager
def other_server(context: ssl.SSLContext | None = None) -> Iterator[Other]:
    """The server on a port of loopback, with TLS if there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = Other(listening.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                other.serve(context.wrap_socket(connection, server_side=True) if context else connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.settimeout(30)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield other
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which ends `accept`
            thread.join()
