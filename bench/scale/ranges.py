"""A small S3 server for the benchmark: `python -m bench.scale.ranges <folder>` prints its port and serves the folder.

It does what reading takes: HEAD, GET with Range and If-Match, ListObjectsV2; nobody's signature is checked. The kernel
copies from file to socket, so that the server costs little beside what is measured. moto copies a whole object for
each range. It ends when its standard input does.
"""

from __future__ import annotations

import os
import sys
import threading
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "files"


class Server(ThreadingHTTPServer):
    """Serves the files of a folder as objects of one bucket."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        """Size and tag."""
        self._object(body=False)

    def do_GET(self) -> None:
        """An object, a range of it, or a list of objects."""
        place = urlsplit(self.path)
        if place.path.strip("/") == BUCKET:
            self._list(parse_qs(place.query).get("prefix", [""])[0])
        else:
            self._object(body=True)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing."""

    def _object(self, *, body: bool) -> None:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        file = self.server.folder / key
        if bucket != BUCKET or not key or not file.is_file():
            self._say(HTTPStatus.NOT_FOUND, _fault("NoSuchKey") if body else b"")
            return
        with file.open("rb") as source:
            stat = os.fstat(source.fileno())
            tag = _tag(stat)
            if self.headers.get("If-Match", tag).strip('"') != tag.strip('"'):
                self._say(HTTPStatus.PRECONDITION_FAILED, _fault("PreconditionFailed"))
                return
            first, end, partial = 0, stat.st_size, False
            if asked := self.headers.get("Range"):
                low, _, high = asked.removeprefix("bytes=").partition("-")
                first, end, partial = int(low), min(int(high) + 1 if high else end, end), True
            self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
            self.send_header("Content-Length", str(end - first))
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", formatdate(stat.st_mtime, usegmt=True))
            self.send_header("Accept-Ranges", "bytes")
            if partial:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{stat.st_size}")
            self.end_headers()
            while body and first < end:
                first += os.sendfile(self.connection.fileno(), source.fileno(), first, end - first)

    def _list(self, prefix: str) -> None:
        files = sorted(file for file in self.server.folder.rglob("*") if file.is_file())
        named = [(str(file.relative_to(self.server.folder)), file.stat()) for file in files]
        found = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(_tag(stat))}</ETag><Size>{stat.st_size}</Size></Contents>"
            for name, stat in named
            if name.startswith(prefix)
        )
        head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._say(HTTPStatus.OK, f"<ListBucketResult>{head}{found}</ListBucketResult>".encode())

    def _say(self, status: HTTPStatus, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _tag(stat: os.stat_result) -> str:
    return f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'


def _fault(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def main() -> None:
    """Serve until standard input ends."""
    server = Server(Path(sys.argv[1]))
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
