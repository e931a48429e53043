"""When, where and with what a picture was taken: by each format, as libvips reads it, whatever hostile files say."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psycopg
import pytest
from PIL import Image

from include.images.engine.facts.capture import Capture, capture
from include.images.engine.facts.exif import TEXT_CHARACTERS
from include.images.engine.render import render
from include.images.errors import SettingError
from include.images.limits import keeps_position
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.engine import libvips
from tests.images.engine.written import encoded
from tests.images.facts import written
from tests.images.facts.written import FRACTION, LENS, MAKE, MODEL, OFFSET, TAKEN, exif, rationals, text

SMALL = Recipes(renditions={"small": Recipe(side=64)})
CAMERA = {MAKE: text("Fuji  photo "), MODEL: text("X-T5")}
MOMENT = {TAKEN: text("2026:03:01 12:30:05"), OFFSET: text("+05:45"), FRACTION: text("25"), LENS: text("XF 35mm")}
HAMBURG = {
    1: text("N"), 2: rationals((53, 1), (33, 1), (3600, 100)), 3: text("W"), 4: rationals((9, 1), (59, 1), (0, 7)),
}  # fmt: skip
WHOLE = Capture("2026-03-01T12:30:05.250000", 345, "Fuji photo", "X-T5", "XF 35mm", 53.56, -9.9833333)


def rendered(folder: Path, data: bytes, *, position: bool = True) -> Capture:
    (folder / "source").write_bytes(data)
    return render(folder / "source", SMALL, folder, position=position).capture


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC", "TIFF", "JXL"])
def test_each_format_says_when_it_was_taken(tmp_path: Path, form: str, order: str) -> None:
    data = written.file(form, exif(CAMERA, MOMENT, HAMBURG, order))
    assert rendered(tmp_path, data) == WHOLE
    without = rendered(tmp_path, data, position=False)
    assert (without.latitude, without.longitude, without.taken_at) == (None, None, WHOLE.taken_at)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_libvips_reads_the_same(tmp_path: Path, form: str) -> None:
    """Of files that Pillow has written."""
    for number in range(8):
        moment = f"20{number:02}:0{number + 1}:1{number} 0{number}:3{number}:5{number}"
        made = exif(
            {MAKE: text(f"Maker {number}"), MODEL: text(f"M{number}")}, {TAKEN: text(moment)}, order="<>"[number % 2]
        )
        data = written.file(form, made)
        found = rendered(tmp_path, data)
        assert found.taken_at is not None
        assert found.taken_at.replace("-", ":").replace("T", " ") == moment
        assert libvips.field(data, "exif-ifd2-DateTimeOriginal") == moment
        assert (found.camera_make, found.camera_model) == (
            libvips.field(data, "exif-ifd0-Make"), libvips.field(data, "exif-ifd0-Model"),
        )  # fmt: skip


@pytest.mark.parametrize("saver", ["jpeg", "webp", "png"])
def test_what_libvips_writes_is_read(tmp_path: Path, saver: str) -> None:
    pixels = np.asarray(pictures.photo(60, 40))
    fields = {
        "exif-ifd0-Make": "Vips", "exif-ifd0-Model": "Eight", "exif-ifd2-DateTimeOriginal": "2025:12:31 23:59:59",
        "exif-ifd2-LensModel": "50mm",
    }  # fmt: skip
    found = rendered(tmp_path, libvips.written(pixels, saver, fields=fields))
    assert found == Capture("2025-12-31T23:59:59", None, "Vips", "Eight", "50mm")


@pytest.mark.parametrize(("said", "found"), [
    ("0000:00:00 00:00:00", None), ("    :  :     :  :  ", None), ("2026:02:30 10:00:00", None), ("", None),
    ("2026:13:01 10:00:00", None), ("2026:01:01 24:00:00", None), ("2026:01:01", None), ("2026:01:01 10:00:60", None),
    ("2026:1:1 1:1:1", None), ("20260101 100000", None), ("x" * 5000, None),
    ("\N{ARABIC-INDIC DIGIT TWO}026:01:01 10:00:00", None),
    ("0001:01:01 00:00:00", "0001-01-01T00:00:00"), ("9999:12:31 23:59:59", "9999-12-31T23:59:59"),
    ("2026-01-02T10:00:00", "2026-01-02T10:00:00"), ("2026/01/02 10:00:00", "2026-01-02T10:00:00"),
])  # fmt: skip
def test_a_date_is_one_or_nothing(warehouse: psycopg.Connection, said: str, found: str | None) -> None:
    taken = capture(exif({}, {TAKEN: text(said)}), position=False).taken_at
    assert taken == found
    if taken:
        assert warehouse.execute("SELECT to_char(%s::timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS')", [taken]).fetchone() == (
            found,
        )


@pytest.mark.parametrize(("said", "minutes"), [
    ("+02:00", 120), ("-09:30", -570), ("Z", 0), ("+00:00", 0), ("+14:00", 840), ("-12:00", -720),
    ("+14:01", None), ("+99:99", None), ("+02:60", None), ("02:00", None), ("", None), ("   :  ", None),
])  # fmt: skip
def test_an_offset_is_one_or_nothing(said: str, minutes: int | None) -> None:
    found = capture(exif({}, {TAKEN: text("2026:01:01 10:00:00"), OFFSET: text(said)}), position=False)
    assert (found.taken_at, found.taken_offset_minutes) == ("2026-01-01T10:00:00", minutes)
    assert capture(exif({}, {OFFSET: text(said)}), position=False).taken_offset_minutes is None


D = ((53, 1), (30, 1), (0, 1))


@pytest.mark.parametrize(("north", "side", "found"), [
    (rationals(*D), "N", 53.5), (rationals(*D), "S", -53.5), (rationals((53, 1)), "N", 53.0),
    (rationals((535, 10)), "N", 53.5), (rationals((90, 1), (0, 1), (0, 1)), "N", 90.0),
    (rationals((90, 1), (0, 1), (1, 1)), "N", None), (rationals((53, 0), (30, 1), (0, 1)), "N", None),
    (rationals((0, 0), (0, 0), (0, 0)), "N", None), (rationals((53, 1), (61, 1), (0, 1)), "N", None),
    (rationals(*D, (1, 1)), "N", None), (rationals(*D), "", None), (rationals(*D), "X", None),
    (rationals(*D), "NS", None), (text("53.5 degrees"), "N", None), ((written.LONG, [53, 30, 0]), "N", None),
    (rationals((2**32 - 1, 1)), "N", None), (rationals((2**32 - 1, 2**32 - 1)), "N", 1.0),
])  # fmt: skip
def test_a_position_is_on_earth_or_nowhere(
    north: tuple[int, bytes | Sequence[int]], side: str, found: float | None
) -> None:
    east = {3: text("E"), 4: rationals((10, 1), (0, 1), (0, 1))}
    got = capture(exif({}, {}, {1: text(side), 2: north, **east}), position=True)
    assert (got.latitude, got.longitude) == ((None, None) if found is None else (found, 10.0))
    assert capture(exif({}, {}, {1: text("N"), 2: rationals(*D)}), position=True).latitude is None, "half of one"


@pytest.mark.parametrize(("raw", "shown"), [
    (b"Canon\0", "Canon"), (b"Canon", "Canon"), (b"  Canon \n EOS\r\0junk", "Canon EOS"), (b"\0\0\0\0\0\0", None),
    (b"a\x1b[31mb\x07\0", "a [31mb"), ("a\u202eb".encode() + b"\0", "a b"), (b"caf\xe9 123\0", "café 123"),
    ("東京カメラ".encode(), "東京カメラ"), (b"\xed\xa0\x80abc\0", "í abc"),
    (b"x" * 100_000, "x" * TEXT_CHARACTERS), ("é".encode() * 400, "é" * TEXT_CHARACTERS), (b"    \0", None),
])  # fmt: skip
def test_a_text_is_clean_and_short(warehouse: psycopg.Connection, raw: bytes, shown: str | None) -> None:
    found = capture(exif({MAKE: (written.ASCII, raw)}), position=False).camera_make
    assert (found or "").split() == (shown or "").split()
    assert warehouse.execute("SELECT %s::text", [found]).fetchone() == (found,)


def test_no_exif_at_all(tmp_path: Path) -> None:
    for data in (None, b"", b"Exif\0\0", b"II*\0", b"MM\0*\0\0\0\xff", b"II*\0\xff\xff\xff\xff", b"not at all"):
        assert capture(data, position=True) == Capture()
    for form in ("PNG", "GIF", "BMP", "TIFF"):
        assert rendered(tmp_path, encoded(pictures.photo(60, 40), form)) == Capture()


def test_directories_in_a_circle_and_counts_without_end() -> None:
    """The directory of the camera is the picture's own, which has more entries than the file, each of all its bytes."""
    entries = b"".join(
        struct.pack("<HHII", 0x8769 if n == 0 else MAKE, 4 if n == 0 else 2, 0xFFFFFFFF, 8) for n in range(60_000)
    )
    began = time.process_time()
    for count in (0, 1, 60_000, 0xFFFF):
        found = capture(b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries, position=True)
        assert len(found.camera_make or "") <= TEXT_CHARACTERS
    assert time.process_time() - began < 2


def test_made_up_exif_harms_nobody(tmp_path: Path, warehouse: psycopg.Connection) -> None:
    """Bytes changed at random: what is read is short, printable, on Earth, and PostgreSQL takes it."""
    chance, whole, seen = random.Random(7), exif(CAMERA, MOMENT, HAMBURG), set()
    for _ in range(4000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(4, len(data))] = chance.choice((0, 1, 255, 128, chance.randrange(256)))
        del data[chance.randrange(8, len(data) * 2) :]
        found = capture(bytes(data), position=True)
        texts = (found.camera_make, found.camera_model, found.lens)
        assert all(one is None or (one.isprintable() and 0 < len(one) <= TEXT_CHARACTERS) for one in texts)
        assert found.latitude is None or (-90 <= found.latitude <= 90 and -180 <= (found.longitude or 0) <= 180)
        seen.add(found)
    assert len(seen) > 500
    for found in list(seen)[:300]:
        warehouse.execute(
            "SELECT %s::timestamp, make_interval(mins => %s), %s::text, %s::text, %s::text, %s::float8, %s::float8",
            list(vars(found).values()),
        )


@pytest.mark.filterwarnings("ignore")  # Pillow's of odd EXIF, which go to the log
def test_a_picture_with_broken_exif_is_rendered(tmp_path: Path) -> None:
    chance, whole = random.Random(8), b"Exif\0\0" + exif(CAMERA, MOMENT, HAMBURG)
    for _ in range(20):
        data = bytearray(whole)
        for _ in range(20):
            data[chance.randrange(14, len(data))] = chance.randrange(256)
        for form in ("JPEG", "WEBP"):
            rendered(tmp_path, encoded(Image.new("RGB", (40, 30)), form, exif=bytes(data)))


def test_the_switch_of_the_position(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, keeps in (("", False), ("off", False), ("on", True), (" ON ", True)):
        monkeypatch.setenv("MILLRACE_IMAGE_POSITION", said)
        assert keeps_position() == keeps
    monkeypatch.setenv("MILLRACE_IMAGE_POSITION", "1")
    with pytest.raises(SettingError, match="MILLRACE_IMAGE_POSITION: '1' is neither on nor off"):
        keeps_position()
    monkeypatch.delenv("MILLRACE_IMAGE_POSITION")
    assert not keeps_position()
