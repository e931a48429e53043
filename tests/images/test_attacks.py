"""Hostile files: each is refused or fails with its reason, in its own child, quickly; or what it hides is dropped."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from include.images.engine.formats.signature import HEAD_BYTES, type_of
from include.images.engine.render import Rendered
from include.images.errors import Rejected
from include.images.limits import LIMITS
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.engine.written import chunk
from tests.images.safely import outcome

RECIPES = Recipes(renditions={"small": Recipe(side=64, formats=("jpeg", "webp", "png"))})
PAYLOAD = b"<script>alert('millrace')</script>"


run = partial(outcome, recipes=RECIPES)  # as a task does


def flat(width: int, height: int, form: str, mode: str = "RGB") -> bytes:
    """One colour: few bytes, many pixels."""
    return pictures.encoded(Image.new(mode, (width, height)), form)


def png_with(*extra: bytes) -> bytes:
    """A small PNG with these chunks after its header."""
    plain = flat(20, 20, "PNG")
    return plain[:33] + b"".join(extra) + plain[33:]


@pytest.mark.parametrize(("make", "code"), [
    (lambda: flat(11_000, 11_000, "PNG", "1"), "too-large"),
    (lambda: flat(9400, 9400, "WEBP"), "too-large"),
    (lambda: flat(25_000, 8, "JPEG"), "too-large"),
    (lambda: pictures.png_header(2**31 - 1, 2**31 - 1), "too-large"),
    (lambda: pictures.png_header(50_000, 2900, 16, 6), "too-large"),
    (lambda: pictures.scan_flood(1000), "bomb"),
], ids=["png-1-bit", "webp", "long-jpeg", "png-2-31", "png-16-bit-rgba", "scan-flood"])  # fmt: skip
def test_a_bomb_is_known_by_its_header(tmp_path: Path, make: Callable[[], bytes], code: str) -> None:
    data = make()
    assert len(data) < 2_000_000
    found = run(tmp_path, data)
    assert isinstance(found, Rejected)
    assert found.code == code


def test_a_bomb_within_the_limits_stays_within_its_child(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(flat(7000, 7000, "PNG", "RGBA"))
    # In a process of its own, as a task is: this one has freed memory that a child could use beyond its limit.
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from include.images import errors, limits, recipes; from tests.images.safely import render_safely\n"
        "few = replace(limits.LIMITS, memory_bytes=100_000_000)\n"
        "try: render_safely(Path(sys.argv[1]), recipes.load_recipes(), Path(sys.argv[2]), few)\n"
        "except errors.Killed as fault: print(fault.code)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "source"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "memory\n"


@pytest.mark.parametrize("extra", [
    chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000))),
    chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(80_000_000))),
    chunk(b"eXIf", b"MM\0*\0\0\0\x08" + b"\xff" * 5000),
    chunk(b"tEXt", b"Comment\0" + b"x" * 5_000_000),
], ids=["text-bomb", "profile-bomb", "exif", "long-text"])  # fmt: skip
def test_swollen_metadata_does_no_harm(tmp_path: Path, extra: bytes) -> None:
    found = run(tmp_path, png_with(extra))
    if isinstance(found, Rendered):
        assert sum(one.bytes for one in found.renditions) < 5_000


def test_an_exif_loop_ends(tmp_path: Path) -> None:
    # A directory whose one entry, the sub-directory, is itself.
    loop = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 0x8769, 4, 1, 8) + struct.pack(">I", 8)
    plain = pictures.encoded(pictures.photo(80, 60))
    run(tmp_path, plain[:2] + b"\xff\xe1" + struct.pack(">H", len(loop) + 2) + loop + plain[2:])


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_many_frames_are_counted_up_to_the_limit_only(tmp_path: Path, form: str) -> None:
    frames = [Image.new("L", (4, 4), number % 251) for number in range(3000)]
    data = pictures.encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=10)
    found = run(tmp_path, data)
    assert isinstance(found, Rendered)
    assert found.still
    assert found.facts.frames == LIMITS.frames + 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_torn_and_damaged_files_end_with_a_reason(tmp_path: Path, form: str) -> None:
    chance = random.Random(form)
    whole = pictures.encoded(pictures.photo(120, 80), form)
    ends = []
    for number in range(40):
        damaged = bytearray(whole)
        if number % 2:
            del damaged[chance.randrange(8, len(whole)) :]
        else:
            for _ in range(chance.randrange(1, 20)):
                damaged[chance.randrange(12, len(whole))] = chance.randrange(256)
        ends.append(run(tmp_path, bytes(damaged)))
    codes = {end.code for end in ends if isinstance(end, Rejected)}
    assert codes
    assert codes <= {"broken", "too-large"}


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.html", PAYLOAD)
    return out.getvalue()


def with_text() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", PAYLOAD.decode())
    return pictures.encoded(pictures.photo(80, 60), "PNG", pnginfo=notes)


@pytest.mark.parametrize("data", [
    pictures.encoded(pictures.photo(80, 60)) + zipped(),
    pictures.encoded(pictures.photo(80, 60), comment=PAYLOAD),
    pictures.encoded(pictures.photo(80, 60), "GIF", comment=PAYLOAD),
    pictures.encoded(pictures.photo(80, 60), "GIF") + PAYLOAD,
    with_text(),
], ids=["jpeg-zip", "jpeg-comment", "gif-comment", "gif-tail", "png-text"])  # fmt: skip
def test_what_a_polyglot_hides_is_dropped(tmp_path: Path, data: bytes) -> None:
    found = run(tmp_path, data)
    assert isinstance(found, Rendered)
    for one in found.renditions:
        made = (tmp_path / one.file).read_bytes()
        assert PAYLOAD not in made
        assert b"PK\x03\x04" not in made


@pytest.mark.parametrize("data", [
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"<html>", b"PK\x03\x04", b"BM" + bytes(60), b"II*\0\x10\0\0\0CR" + bytes(60),
    b"\0\0\x01\0" + bytes(60), b"8BPS" + bytes(60),
    b"\xff\xd8", b"GIF88a", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypisom" + bytes(20), b"#!/bin/sh\n", b"",
])  # fmt: skip
def test_other_types_are_refused_at_the_door_and_by_the_decoder(tmp_path: Path, data: bytes) -> None:
    assert type_of(data[:HEAD_BYTES]) is None
    found = run(tmp_path, data)
    assert isinstance(found, Rejected)
    assert found.code == ("type" if data else "broken")


@pytest.mark.parametrize("data", [
    b"GIF89a\x10\0\x10\0\0\0\0" + b"!\xfe" + b"\1x" * 20_000_000 + b"\0;",
    b"GIF89a\x10\0\x10\0\0\0\0" + b"!\xfe\0" * 3_000_000 + b";",
    pictures.png_header(9, 9)[:33] + chunk(b"teXt", b"") * 1_000_000,
    pictures.encoded(pictures.photo(80, 60), progressive=True)[:-2] + b"\xff\xd0" * 20_000_000,
    b"RIFF\0\0\0\2WEBPVP8X\x0a\0\0\0\2\0\0\0\x0f\0\0\x0f\0\0" + b"ABCD\0\0\0\0" * 3_000_000,
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + b"\0\0\0\x08free" * 5_000_000,
], ids=["gif-blocks", "gif-extensions", "png-chunks", "jpeg-markers", "webp-chunks", "avif-boxes"])  # fmt: skip
def test_a_long_way_through_little_things_is_walked_in_time(tmp_path: Path, data: bytes) -> None:
    assert len(data) <= LIMITS.file_bytes
    assert isinstance(run(tmp_path, data), Rejected | Rendered)
