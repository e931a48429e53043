"""Packs files for the tests, in all ways that are read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pyarrow as pa

END_MARK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def bgzf(text: bytes, *, block: int = 60_000, end: bytes = END_MARK) -> bytes:
    """As bgzip packs it."""
    return b"".join(_member(text[at : at + block]) for at in range(0, len(text), block)) + end


def _member(text: bytes) -> bytes:
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = squeeze.compress(text) + squeeze.flush()
    head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff\x06\x00BC\x02\x00" + (len(body) + 25).to_bytes(2, "little")
    return head + body + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


def zstd(text: bytes) -> bytes:
    """One frame that says how much it holds."""
    return bytes(pa.compress(text, codec="zstd", asbytes=True))


def zstd_stream(text: bytes) -> bytes:
    """One frame that does not, as `zstd` writes what it gets from a pipe."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(text)
    return bytes(sink.getvalue().to_pybytes())


def halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Two packed files, one after the other."""
    return lambda text: pack(text[: len(text) // 2]) + pack(text[len(text) // 2 :])


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip members": halves(gzip.compress),
    "gzip padded": lambda text: gzip.compress(text) + bytes(512),
    "bgzf": bgzf,
    "bgzf then gzip": lambda text: bgzf(text[:5000]) + gzip.compress(text[5000:]),
    "zstd": zstd,
    "zstd frames": halves(zstd),
    "zstd stream": zstd_stream,
    "zstd after a skipped frame": lambda text: b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd(text),
}
