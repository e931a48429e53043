"""A port of the machine that leads into a host. The listening socket is the machine's, made before any namespace."""

from __future__ import annotations

import contextlib
import socket
from threading import Thread

BLOCK_BYTES = 1 << 16


def forward(listening: socket.socket, port: int) -> None:
    """Hand each connection on to this host's own `port`, in threads that end with the process."""
    Thread(target=_accept, args=(listening, port), daemon=True).start()


def _accept(listening: socket.socket, port: int) -> None:
    while True:
        outer, _ = listening.accept()
        try:
            # Others wait in the queue meanwhile; once it is made, a connection may be silent for as long as it likes.
            inner = socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:  # the service is not up
            outer.close()
            continue
        inner.settimeout(None)
        Thread(target=_copy, args=(outer, inner), daemon=True).start()
        Thread(target=_copy, args=(inner, outer), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        source.shutdown(socket.SHUT_RD)
