"""A file of this machine, read at places."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from include.ingest.errors import SourceChanged
from include.ingest.source.local import LocalFile

TEXT = bytes(range(250))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalFile:
    """On a system that gives at most 7 bytes at a time, as one that gives at most 2 GiB."""
    (tmp_path / "a.csv").write_bytes(TEXT)
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda handle, length, offset: pread(handle, min(length, 7), offset))
    monkeypatch.setattr(os, "preadv", lambda handle, parts, offset: preadv(handle, [parts[0][:7]], offset))
    return LocalFile(tmp_path / "a.csv")


def test_what_comes_in_parts_is_read_whole(file: LocalFile) -> None:
    window = np.zeros(200, dtype=np.uint8)
    with file.open() as opened:
        opened.read_into(window, 20)
        assert window.tobytes() == opened.read(20, 200) == TEXT[20:220]


def test_a_file_that_has_shrunk_says_where_it_ends(file: LocalFile) -> None:
    with file.open() as opened:
        for read in (lambda: opened.read(100, 200), lambda: opened.read_into(np.zeros(200, dtype=np.uint8), 100)):
            with pytest.raises(SourceChanged, match=r"a\.csv ends at byte 250; it was longer when it was planned"):
                read()
