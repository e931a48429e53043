"""A small S3 server for the benchmark: `python -m bench.scale.ranges <folder>` prints its port and serves the folder.

HEAD, GET with Range and If-Match, ListObjectsV2; nobody's signature is checked. The kernel copies from file to socket
(moto copies a whole object for each range), so that it costs little. It ends when its standard input does.
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
FOLDER = Path(sys.argv[-1])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

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
        file = FOLDER / key
        if bucket != BUCKET or not key or not file.is_file():
            self._xml(HTTPStatus.NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>" if body else "")
            return
        with file.open("rb") as source:
            stat = os.fstat(source.fileno())
            tag, first, end = _tag(stat), 0, stat.st_size
            if self.headers.get("If-Match", tag).strip('"') != tag.strip('"'):
                self._xml(HTTPStatus.PRECONDITION_FAILED, "<Error><Code>PreconditionFailed</Code></Error>")
                return
            headers = {"ETag": tag, "Last-Modified": formatdate(stat.st_mtime, usegmt=True), "Accept-Ranges": "bytes"}
            if asked := self.headers.get("Range"):
                low, _, high = asked.removeprefix("bytes=").partition("-")
                first, end = int(low), min(int(high) + 1 if high else end, end)
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{stat.st_size}"
            self._head(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, end - first, headers)
            while body and first < end:
                first += os.sendfile(self.connection.fileno(), source.fileno(), first, end - first)

    def _list(self, prefix: str) -> None:
        named = {str(file.relative_to(FOLDER)): file.stat() for file in FOLDER.rglob("*") if file.is_file()}
        found = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(_tag(stat))}</ETag><Size>{stat.st_size}</Size></Contents>"
            for name, stat in sorted(named.items(), key=lambda item: item[0])
            if name.startswith(prefix)
        )
        head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._xml(HTTPStatus.OK, f"<ListBucketResult>{head}{found}</ListBucketResult>")

    def _xml(self, status: HTTPStatus, text: str) -> None:
        self._head(status, len(text.encode()), {"Content-Type": "application/xml"})
        self.wfile.write(text.encode())

    def _head(self, status: HTTPStatus, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def _tag(stat: os.stat_result) -> str:
    return f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
