"""Reads the files of a request as they come, as its body or as multipart/form-data, straight into the store."""

from __future__ import annotations

import re
import unicodedata
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from include.images.limits import Limits
from include.images.store import Store
from include.images.upload.checked_file import Intake, Refused
from include.images.upload.form_fields import Fields

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

HEADER_BYTES = 16 << 10
FORM_BYTES = 2 << 20  # what surrounds the files of a form: more than their headers and some fields take
EXTENDED = re.compile(rb"""filename\*\s*=\s*"?(utf-8|iso-8859-1)'[^']*'([^\s";]*)""", re.IGNORECASE)


class Receiver:
    """Collects the files of one request: `kept` are whole, `refused` are not taken. What is not stored is removed."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store, self.limits = store, limits
        self.kept: list[tuple[Intake, str]] = []
        self.refused: list[tuple[str, Refused]] = []
        self.fields = Fields(limits, FORM_BYTES)
        self._open: Intake | None = None
        self._name = ""
        self._bytes = 0

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for intake, _ in self.kept:
            intake.close()
        if self._open is not None:
            self._open.close()

    def begin(self, name: str) -> None:
        """A file of that name begins."""
        if len(self.kept) + len(self.refused) >= self.limits.request_files:
            raise Refused(413, "too-many", f"more than {self.limits.request_files} files in one request")
        self._name = clean_name(name, self.limits)
        self._open = Intake(self._store, self.limits)

    def write(self, part: bytes) -> None:
        """More of the file."""
        self._bytes += len(part)
        self.check(self._bytes)
        if self._open is not None:
            try:
                self._open.write(part)
            except Refused as fault:
                self._refuse(fault)

    def check(self, size: int) -> None:
        """Raise Refused for a request of more bytes than it may have."""
        if size > self.limits.request_bytes:
            raise Refused(413, "too-large", f"the request is larger than {self.limits.request_bytes / 1e6:g} MB")

    def end(self) -> None:
        """The file is whole."""
        if self._open is None:
            return
        try:
            self._open.complete()
        except Refused as fault:
            self._refuse(fault)
        else:
            self.kept.append((self._open, self._name))
            self._open = None

    def _refuse(self, fault: Refused) -> None:
        assert self._open is not None
        self._open.close()
        self._open = None
        self.refused.append((self._name, fault))


async def receive(request: Request, receiver: Receiver) -> None:
    """Read the whole request. Raises Refused for a body that is no proper multipart/form-data."""
    _check_length(request, receiver)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        await _receive_parts(request, receiver, options.get(b"boundary"))
        return
    # Whatever type is declared, also curl's own, a web form: the first bytes say what it is.
    receiver.begin(unquote(_utf8(request.headers.get("x-file-name", ""))))
    async for part in request.stream():
        receiver.write(part)
    receiver.end()


def _check_length(request: Request, receiver: Receiver) -> None:
    """Refuse what announces more than may come, before it comes. Of a form, what surrounds its files counts too."""
    length = request.headers.get("content-length", "")
    receiver.check(int(length) - FORM_BYTES if length.isdecimal() else 0)


async def _receive_parts(request: Request, receiver: Receiver, boundary: bytes | None) -> None:
    if not boundary:
        raise Refused(400, "multipart", "multipart/form-data without a boundary")
    form = _Form(receiver)
    try:
        parser = MultipartParser(boundary, form.callbacks(), max_size=float("inf"))
        async for part in request.stream():
            parser.write(part)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, "multipart", f"the multipart body is broken: {error}") from None
    if not form.ended:
        raise Refused(400, "multipart", "the multipart body ends before its last boundary")


class _Form:
    """What the multipart parser calls."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._field, self._value, self._disposition, self._kind = b"", b"", b"", b""
        self._is_file = self.ended = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin, "on_header_field": self._header_field, "on_header_value": self._header_value,
            "on_header_end": self._header_end, "on_headers_finished": self._headers, "on_part_data": self._data,
            "on_part_end": self._end, "on_end": self._finish,
        }  # fmt: skip

    def _begin(self) -> None:
        self._field = self._value = self._disposition = self._kind = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._check()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check()

    def _check(self) -> None:
        if len(self._field) + len(self._value) > HEADER_BYTES:
            raise Refused(400, "multipart", "a header of a part is too long")

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        elif self._field.lower() == b"content-type":
            self._kind = self._value
        self._field = self._value = b""

    def _headers(self) -> None:
        name = _file_name(self._disposition)
        self._is_file = name is not None or self._kind.lower().startswith(b"image/")
        if self._is_file:
            self._receiver.begin(name or "")
        else:
            name = _field_name(self._disposition)
            self._receiver.fields.begin(name, clean_name(name, self._receiver.limits))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._receiver.write(data[start:end])
        else:
            self._receiver.fields.write(data[start:end])

    def _end(self) -> None:
        if self._is_file:
            self._receiver.end()

    def _finish(self) -> None:
        self.ended = True


def _file_name(disposition: bytes) -> str | None:
    """The name that a part gives its file, None: it gives none. RFC 6266: `filename*` comes first."""
    extended = EXTENDED.search(disposition)
    if extended:
        return unquote(extended[2].decode(errors="replace"), extended[1].decode())
    _, options = parse_options_header(disposition)
    return options[b"filename"].decode(errors="replace") if b"filename" in options else None


def _field_name(disposition: bytes) -> str:
    """The name that a part gives itself; nothing of it is trusted."""
    _, options = parse_options_header(disposition)
    return options.get(b"name", b"").decode(errors="replace")


def _utf8(header: str) -> str:
    """A header's text where it was sent in UTF-8: servers read headers as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def clean_name(name: str, limits: Limits) -> str:
    """A file name to show: the last part of a path, printable, and not too long. Never used as a path."""
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[: limits.name_characters] or "upload"
