"""What is told of a picture: why it is refused, in words; that it was salvaged; which files a page may choose from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from include.images import inbox, work
from include.images.errors import FINAL, Rejected, SettingError
from include.images.inbox import CLAIM_SECONDS
from include.images.limits import KINDS, LIMITS, kinds
from include.images.pages import __file__ as PAGES
from include.images.recipes import Recipe, Recipes
from tests.images import pictures
from tests.images.engine.written import encoded, png
from tests.images.places import Place
from tests.images.test_api import Here
from tests.images.test_render import made
from tests.served import served

PHOTO = encoded(pictures.photo(300, 200), "JPEG")
FRAME = PHOTO.index(b"\xff\xc0")


def ftyp(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(40)


def frame(kind: int, bits: int) -> bytes:
    return PHOTO[: FRAME + 1] + bytes([kind]) + PHOTO[FRAME + 2 : FRAME + 4] + bytes([bits]) + PHOTO[FRAME + 5 :]


OURS = "expected JPEG, PNG, WebP, GIF or AVIF"
EVERY = "expected JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF, BMP or JPEG XL"
OTHERS = {
    "a HEIC picture": [ftyp(b"heic"), ftyp(b"heix"), ftyp(b"mif1")],
    "a TIFF picture": [b"II*\0" + bytes(60), b"MM\0*" + bytes(60)],
    "a camera's raw file (CR2)": [b"II*\0\x10\0\0\0CR\2\0" + bytes(60)],
    "a BMP picture": [b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(60)],
    "a JPEG XL picture": [b"\xff\x0a" + bytes(60), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60)],
    "a PDF document": [b"%PDF-1.7\n"],
    "an SVG drawing": [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>"],
    "a video": [ftyp(b"isom"), ftyp(b"qt  ")],
    "a camera's raw file (CR3)": [ftyp(b"crx ")],
    "a Photoshop file (PSD)": [b"8BPS\0\1" + bytes(60)],
    "a web page": [b"<!DOCTYPE html><html>"],
    "a ZIP archive or an office document": [b"PK\x03\x04" + bytes(60)],
}


@pytest.mark.parametrize(("data", "name"), [(data, name) for name, files in OTHERS.items() for data in files],
                         ids=[f"{name}-{n}" for name, files in OTHERS.items() for n in range(len(files))])  # fmt: skip
def test_what_came_instead_of_a_picture_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, name: str
) -> None:
    monkeypatch.setenv("MILLRACE_IMAGE_KINDS", "jpeg, PNG,WebP,gif,avif")
    with pytest.raises(Rejected) as caught:
        made(tmp_path, data, large={"side": 10})
    assert (caught.value.code, str(caught.value)) == ("type", f"this is {name}; {OURS}")


@pytest.mark.parametrize(("data", "said"), [
    (frame(0xC3, 8), "this is a lossless JPEG, which browsers do not show"),
    (frame(0xC0, 12), "this is a JPEG of 12 bits a colour, which browsers do not show; save it with 8"),
    (frame(0xF7, 8), "this is a JPEG-LS picture"),
    (PHOTO[:2000], "the JPEG file ends early: it was cut off"),
    (PHOTO[:200], "the JPEG file ends early: it was cut off"),
    (PHOTO[:20] + b"\xff\xd9", "the JPEG file is damaged"),
    (encoded(pictures.photo(60, 40))[:900], "the PNG file ends early: it was cut off"),
    (png(2, 2, 8, 2, bytes(12)).replace(b"IDAT", b"IDAT\0"), "the PNG file"),
    (encoded(pictures.photo(60, 40), "WEBP")[:200], "the WebP file is damaged or cut off: it can't be opened"),
    (encoded(pictures.photo(60, 40), "AVIF")[:300], "this AVIF file is damaged, cut off, or not as the"),
    (encoded(pictures.photo(60, 40), "GIF")[:400], "the GIF file is damaged or cut off"),
    (b"\xff\xd8\xff\xe0 no jpeg", "the JPEG file"),
    (b"a text", f"unsupported file type: {EVERY}"),
    (b"", "the file is empty"),
], ids=range(14))  # fmt: skip
def test_a_fault_is_said_in_words(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        made(tmp_path, data, large={"side": 10})
    assert str(caught.value).startswith(said)
    assert not re.search(r"[A-Z]\w+(Error|Exception)|NoneType|argument", str(caught.value))


def test_the_page_says_what_to_do_about_every_fault_of_a_picture() -> None:
    page = Path(PAGES).with_name("images.js").read_text()
    assert all(re.search(rf'^  "?{code}"?: "', page, re.MULTILINE) for code in FINAL)


def test_time_limits_hold_cpu_time(tmp_path: Path) -> None:
    assert 4 * LIMITS.cpu_seconds < LIMITS.wall_seconds < CLAIM_SECONDS, "a busy machine must fail nobody"


@pytest.fixture
def here(dsn: str, place: Place) -> Here:
    return Here(dsn, place)


@pytest.fixture
def client(here: Here) -> Iterator[httpx.Client]:
    with served(here.app) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer token"}) as client:
        yield client


def uploaded(here: Here, client: httpx.Client, data: bytes, **recipes: dict[str, Any]) -> dict[str, Any]:
    """The picture as the interface shows it once it was resized by these recipes."""
    answer = client.post("/images", content=data).raise_for_status()
    chosen = Recipes(renditions={name: Recipe(**recipe) for name, recipe in recipes.items()})
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        for batch in inbox.open_batches(connection, 1):
            work.resize_batch(connection, here.store, chosen, batch)
    found: dict[str, Any] = client.get(answer.headers["location"]).json()
    return found


def test_a_salvaged_picture_is_told(here: Here, client: httpx.Client) -> None:
    torn = uploaded(here, client, PHOTO[: len(PHOTO) // 2], large={"side": 100, "salvage": True}, small={"side": 20})
    assert (torn["state"], torn["salvaged"]) == ("done", True)
    assert {one["name"] for one in torn["renditions"]} == {"large"}
    whole = uploaded(here, client, PHOTO, large={"side": 100, "salvage": True}, small={"side": 20})
    assert (whole["state"], whole["salvaged"]) == ("done", False)
    assert {one["name"] for one in whole["renditions"]} == {"large", "small"}


def test_a_kind_that_is_not_taken_is_named_at_the_door(
    here: Here, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.post("/images", content=ftyp(b"isom"))
    assert (answer.status_code, answer.json()["detail"]) == (415, f"this is a video; {EVERY}")
    monkeypatch.setenv("MILLRACE_IMAGE_KINDS", "jpeg,png,webp,gif,avif")
    answer = client.post("/images", content=ftyp(b"heic"))
    assert (answer.status_code, answer.json()["detail"]) == (415, f"this is a HEIC picture; {OURS}")


def test_a_kind_that_nobody_knows_is_named(
    here: Here, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert kinds() == KINDS
    monkeypatch.setenv("MILLRACE_IMAGE_KINDS", "jpeg,svg")
    said = "MILLRACE_IMAGE_KINDS: 'svg' is none of JPEG, PNG"
    with pytest.raises(SettingError, match=said):
        made(tmp_path, PHOTO, large={"side": 10})
    answer = client.post("/images", content=PHOTO)
    assert (answer.status_code, answer.json()["detail"][: len(said)]) == (503, said)


def widths(told: str) -> list[tuple[str, str]]:
    return re.findall(r"(\S+) (\d+)w", told)


@pytest.mark.parametrize(("recipes", "chosen"), [
    ({"large": {"side": 100}, "small": {"side": 31}, "thumb": {"box": [40, 40], "fit": "cover"}}, ["small", "large"]),
    ({"big": {"box": [100, 100], "fit": "cover"}, "large": {"side": 90}, "small": {"side": 31}}, ["small", "large"]),
    ({"big": {"box": [90, 90], "fit": "cover"}, "thumb": {"box": [32, 32], "fit": "cover"}}, ["thumb", "big"]),
    ({"wide": {"box": [90, 30], "fit": "cover"}, "thumb": {"box": [32, 32], "fit": "cover"}}, ["wide"]),
])  # fmt: skip
def test_a_browser_chooses_among_files_of_one_shape(
    here: Here, client: httpx.Client, recipes: dict[str, dict[str, Any]], chosen: list[str]
) -> None:
    found = uploaded(here, client, PHOTO, **recipes)
    for form, told in found["srcset"].items():
        named = [re.sub(r".*/(\w+)\.\w+\?.*", r"\1", url) for url, _ in widths(told)]
        assert named == chosen, form
