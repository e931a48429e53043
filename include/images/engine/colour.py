"""Brings any mode and colour space to 8-bit sRGB, transparency kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from include.images.engine import hdr, profiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# CGATS001Compat-v2-micro of saucecontrol's Compact ICC Profiles, in the public domain (CC0 1.0): inks of American
# web offset presses, which is what files without a profile are mostly meant for, and what libvips takes.
CMYK = Path(__file__).with_name("cmyk.icc")
_SPACES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Space:
    """Which colours the numbers of a picture stand for."""

    icc: bytes | None = None
    grey: bool = False  # its pixels are grey, whatever the mode
    hdr: tuple[int, int] | None = None  # primaries and transfer of high dynamic range


def of_code_points(primaries: int, transfer: int, grey: bool = False) -> Space:
    """The space that a file names by numbers of ISO/IEC 23091-2."""
    if transfer in (hdr.PQ, hdr.HLG):
        return Space(None, grey, (primaries, transfer))
    return Space(profiles.by_code_points(primaries, transfer), grey)


def has_alpha(image: Image.Image) -> bool:
    """Whether any of it may be transparent."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture in L, RGB, RGBA or CMYK. Modes of more bits keep their high ones, rounded."""
    if image.mode in ("RGB", "RGBA", "CMYK"):
        return image.convert("RGBA") if image.mode == "RGB" and "transparency" in image.info else image
    if image.mode in ("1", "L"):
        image.load()
        return _keyed(np.asarray(image.convert("L")), image) if "transparency" in image.info else image.convert("L")
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        small = _narrowed(values)
        return _keyed(values, image, small) if "transparency" in image.info else Image.fromarray(small)
    if image.mode == "LAB":
        found = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), SRGB, outputMode="RGB")
        assert found is not None
        return found
    if image.mode == "F":
        return Image.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).astype(np.uint8))
    return image.convert("RGBA" if has_alpha(image) else "RGB")


def _narrowed(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """16 bits to 8, some rows at a time, as the numbers in between take four times the memory."""
    small = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 256):
        rows = values[top : top + 256].clip(0, 65535).astype(np.uint32)
        small[top : top + 256] = (rows * 255 + 32767) // 65535
    return small


def _keyed(
    values: npt.NDArray[np.integer], image: Image.Image, grey: npt.NDArray[np.uint8] | None = None
) -> Image.Image:
    """A grey picture of which one value is transparent."""
    key = image.info["transparency"]
    if not isinstance(key, int):
        return image.convert("RGBA")
    shown = Image.fromarray(values.astype(np.uint8) if grey is None else grey)
    alpha = Image.fromarray((values != key).astype(np.uint8) * np.uint8(255))
    return Image.merge("RGBA", (shown, shown, shown, alpha))


def to_srgb(image: Image.Image, space: Space) -> Image.Image:
    """Convert by the profile; without one, or with a broken one, grey and RGB are taken for sRGB, CMYK for CMYK."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha is not None else image
    if space.hdr is not None:
        colours = hdr.to_sdr(colours.convert("RGB"), *space.hdr)
    elif space.icc is not None:
        colours = _by_profile(colours, space.icc, space.grey)
    if colours.mode == "CMYK":
        colours = _by_profile(colours, CMYK.read_bytes(), False)
    if colours.mode not in ("L", "RGB"):
        colours = colours.convert("RGB")
    if alpha is not None:
        colours = colours.convert("RGB")
        colours.putalpha(alpha)
    return colours


def _by_profile(image: Image.Image, icc: bytes, grey: bool) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = _SPACES.get(profile.profile.xcolor_space)
        if space == "L" and image.mode == "RGB" and grey:
            image = image.getchannel("R")
        if space is None or (space != image.mode and not (space == "RGB" and image.mode == "L")):
            return image
        found = ImageCms.profileToProfile(
            image if space == image.mode else image.convert("RGB"),
            profile,
            SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    assert found is not None
    return found
