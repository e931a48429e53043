"""The compiled Lanczos filter, against Pillow's."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from include.images.engine import lanczos

SIZES = [((640, 480), (200, 150)), ((200, 150), (640, 480)), ((333, 7), (10, 2)), ((1, 1), (3, 2)), ((90, 90), (90, 9))]


def photo(mode: str, size: tuple[int, int]) -> Image.Image:
    """Soft shapes in every channel, so that no pass goes below 0 or above 255, where Pillow rounds in between."""
    width, height = size
    x, y = np.linspace(0, 9, width), np.linspace(0, 6, height)
    channels = [
        128 + 60 * np.sin(x[None, :] * (1 + n / 3) + n) * np.cos(y[:, None] * (1 + n / 2)) for n in range(len(mode))
    ]
    return Image.frombytes(mode, size, np.stack(channels, axis=-1).round().astype(np.uint8).tobytes())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBa", "CMYK"])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_the_result_is_pillows_but_for_rounding(mode: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    image = photo(mode, before)
    found = lanczos.resize(image, after)
    wanted = image.resize(after, Image.Resampling.LANCZOS)
    assert (found.mode, found.size) == (mode, after)
    difference = np.abs(np.asarray(found).astype(int) - np.asarray(wanted).astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_hard_edges_are_cut_off_at_black_and_white(mode: str) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, 20:40] = 255
    found = np.asarray(lanczos.resize(Image.fromarray(stripes).convert(mode), (37, 64)))
    assert found.min() == 0
    assert found.max() == 255
    assert found[:, 15:20].min() > 240, "an overshoot must not wrap around to black"


def test_memory_that_pillow_does_not_own_is_read_right() -> None:
    shared = Image.frombuffer("L", (50, 40), photo("L", (50, 40)).tobytes(), "raw", "L", 0, 1)
    assert shared.readonly
    found = lanczos.resize(shared, (20, 16))
    assert found.tobytes() == lanczos.resize(photo("L", (50, 40)), (20, 16)).tobytes()


def test_a_picture_of_more_than_one_block_of_pillows_memory() -> None:
    large = photo("RGB", (4000, 2000))  # 32 MB
    found = lanczos.resize(large, (40, 20))
    wanted = large.resize((40, 20), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted).astype(int)).max() <= 1


def test_a_file_is_decoded_before_it_is_resized() -> None:
    data = io.BytesIO()
    photo("RGB", (300, 200)).save(data, "PNG")
    lazy = Image.open(data)
    assert lanczos.resize(lazy, (30, 20)).tobytes() == lanczos.resize(photo("RGB", (300, 200)), (30, 20)).tobytes()


def test_other_modes_are_refused() -> None:
    with pytest.raises(KeyError):
        lanczos.resize(Image.new("P", (4, 4)), (2, 2))
