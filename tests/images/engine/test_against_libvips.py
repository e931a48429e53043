"""The made set comes out as libvips makes it: mean CIEDE2000 of at most 2, SSIM of at least 0.98, or an explanation."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from include.images.engine.render import render
from include.images.recipes import Quality, Recipe, Recipes
from tests.images.engine.difference import ciede2000, differ, ssim
from tests.images.engine.libvips import thumbnail
from tests.images.engine.made_set import MAKERS, Made
from tests.images.engine.written import encoded

SIDE, MOST, LEAST = 64, 2.0, 0.98
STILL = Recipes(renditions={"a": Recipe(side=SIDE, formats=("png",))})
MOVING = Recipes(
    renditions={"a": Recipe(side=SIDE, formats=("png", "webp"), quality=Quality.model_validate({"webp": 100}))}
)
# By the start of a name, how far it may be off. docs/explanation/images.md says why.
EXPLAINED = {"jpeg-cmyk-none": 5.0, "tiff-CMYK": 5.0}


def test_the_measures_are_right() -> None:
    pairs = [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 0, 0), (50, -1, 2), 2.3669),
             ((50, 2.5, 0), (73, 25, -18), 27.1492), ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
             ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082)]  # fmt: skip
    for one, other, wanted in pairs:  # published with the formula
        assert abs(float(ciede2000(np.array(one), np.array(other))) - wanted) < 1e-4
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3))
    assert ssim(noise, noise) == pytest.approx(1)
    assert ssim(noise, noise[::-1]) < 0.2


def test_the_set_is_large_and_names_each_picture_once() -> None:
    names = [one.name for make in MAKERS.values() for one in make()]
    assert len(names) == len(set(names)) >= 400


@pytest.mark.parametrize("form", MAKERS)
def test_the_made_set(tmp_path: Path, form: str) -> None:
    faults = [fault for one in MAKERS[form]() for fault in compared(tmp_path, one)]
    assert not faults


def compared(folder: Path, one: Made) -> list[str]:
    """What is wrong with a picture."""
    (folder / "source").write_bytes(one.data)
    wanted = thumbnail(one.data, SIDE, frames=one.moves)
    render(folder / "source", MOVING if one.moves else STILL, folder)
    found = [(0, np.asarray(Image.open(folder / "a.png").convert("RGBA")), wanted[0])]
    if one.moves:
        with Image.open(folder / "a.webp") as moving:
            if getattr(moving, "n_frames", 1) != len(wanted):
                return [f"{one.name}: other frames"]
            for number, frame in enumerate(wanted):
                moving.seek(number)
                found.append((number, np.asarray(moving.convert("RGBA")), as_webp(frame)))
    return [fault for number, ours, theirs in found if (fault := judged(f"{one.name}, frame {number}", ours, theirs))]


def as_webp(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the encoder of animations loses is not what is judged."""
    return np.asarray(
        Image.open(io.BytesIO(encoded(Image.fromarray(frame), "WEBP", quality=100, method=2))).convert("RGBA")
    )


def judged(name: str, ours: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8]) -> str:
    if ours.shape != theirs.shape:
        return f"{name}: {ours.shape} instead of {theirs.shape}"
    colour, likeness = differ(ours, theirs)
    most = next((far for start, far in EXPLAINED.items() if name.startswith(start)), MOST)
    return f"{name}: CIEDE2000 {colour:.2f}, SSIM {likeness:.4f}" if colour > most or likeness < LEAST else ""
