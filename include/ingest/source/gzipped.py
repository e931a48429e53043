"""Unpacks gzip. One stream can't be entered in the middle; the blocks of bgzip are unpacked side by side.

BGZF, what bgzip writes, is gzip in members of 64 KB at the most, each of which says how long it is. Intel's ISA-L
unpacks in half the time that zlib takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from isal import isal_zlib as zlib
from isal.igzip_lib import IsalError

from include.ingest.source.local import THREADS
from include.ingest.source.packed_bytes import PLAIN_BYTES, Feed

FAULT: type[Exception] = IsalError  # type: ignore[assignment]  # its stub has an instance
MEMBER = 31  # zlib's word for: with gzip's header and checksum
MAGIC = b"\x1f\x8b"
HEAD_BYTES = 18  # of a BGZF member: up to the field that says how long it is
BGZF, BGZF_AT = b"\x42\x43\x02\x00", 12
BLOCK_BYTES = 1 << 16  # that a member of BGZF holds at most
END_MARK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
GROUP_BYTES = 1 << 20  # of members that a thread takes at a time


def gunzip(feed: Feed) -> Iterator[bytes]:
    """The text of all members, in pieces."""
    data = feed.more()
    if _member_bytes(data):
        data = yield from _unpack_blocks(feed, data)
    while data := data.lstrip(b"\0") or feed.more():  # zeros may fill up the end
        if data[0]:
            data = yield from _unpack_member(feed, data)


def _unpack_member(feed: Feed, data: bytes) -> Generator[bytes, None, bytes]:
    """The text of one member, in pieces; gives back the bytes after it."""
    member = zlib.decompressobj(MEMBER)
    while True:
        try:
            piece = member.decompress(data, PLAIN_BYTES)
        except FAULT as fault:
            raise feed.fault(f"gzip says {str(fault).rpartition(': ')[2]}") from fault
        if piece:
            yield piece
        if member.eof:
            return member.unused_data
        data = member.unconsumed_tail
        if not data and len(piece) < PLAIN_BYTES:
            data = feed.more()
            if not data:
                raise feed.cut_short()


def _unpack_blocks(feed: Feed, data: bytes) -> Generator[bytes, None, bytes]:
    """The text of the members of BGZF; gives back what is left when another kind of member, or the end, comes."""
    groups: deque[Future[bytes]] = deque()
    ended = True
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            while True:
                data = data + feed.more(GROUP_BYTES)
                whole, last = _whole_members(data)
                if not whole:
                    break
                ended = last == END_MARK
                groups.append(pool.submit(_unpack_group, data[:whole]))
                data = data[whole:]
                if len(groups) > 2 * THREADS:
                    yield groups.popleft().result()
            while groups:
                yield groups.popleft().result()
            if not (ended or data):
                raise feed.fault("the end mark of bgzip is missing")
        except FAULT as fault:
            raise feed.fault(f"gzip says {str(fault).rpartition(': ')[2]}") from fault
        finally:
            pool.shutdown(cancel_futures=True)
    return data


def _unpack_group(data: bytes) -> bytes:
    pieces, at = [], 0
    while at < len(data):
        end = at + _member_bytes(data, at)
        member = zlib.decompressobj(MEMBER)
        pieces.append(member.decompress(data[at:end], BLOCK_BYTES))
        rest = b"" if member.eof else member.decompress(member.unconsumed_tail, 1)
        if rest or not member.eof or member.unused_data:
            raise FAULT("a block is not what its length says")
        at = end
    return b"".join(pieces)


def _whole_members(data: bytes) -> tuple[int, bytes]:
    """How many bytes are whole members of BGZF, and the last of these."""
    at, length = 0, 0
    while (more := _member_bytes(data, at)) and at + more <= len(data):
        at, length = at + more, more
    return at, data[at - length : at]


def _member_bytes(data: bytes, at: int = 0) -> int:
    """The length of the member of BGZF that begins there; 0: none does."""
    head = data[at : at + HEAD_BYTES]
    if len(head) < HEAD_BYTES or head[:4] != MAGIC + b"\x08\x04" or head[BGZF_AT : BGZF_AT + 4] != BGZF:
        return 0
    return int.from_bytes(head[16:18], "little") + 1
