"""Opens a picture safely, and brings any mode and colour space to 8-bit sRGB.

Nothing here trusts the file. Limits are checked from the header, before a pixel is decoded; the caller still runs it in
a child process, because a decoder can loop or eat memory within the limits.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from include.images.errors import Rejected
from include.images.limits import FORMATS, Limits

DRAFT = 1.4  # a JPEG is decoded at the smallest scale that is still this much larger than what is wanted
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
COPYRIGHT_TAGS = (ExifTags.Base.Artist, ExifTags.Base.Copyright)


@dataclass(frozen=True)
class Facts:
    """What the header says, with width and height as the picture is to be seen."""

    format: str
    width: int
    height: int
    frames: int
    alpha: bool
    orientation: int


@dataclass
class Source:
    """An open picture; use it as a context, which closes the file."""

    image: Image.Image
    facts: Facts
    icc: bytes | None
    copyright: dict[int, str]

    @property
    def turned(self) -> bool:
        """Whether the pixels lie on their side."""
        return self.facts.orientation in TURNED

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.image.close()


def open_source(path: Path, limits: Limits) -> Source:
    """Open a file and check its header. Raises Rejected, with the limit and the value, when it is not fit."""
    Image.MAX_IMAGE_PIXELS = limits.pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Rejected("too-large", f"more than {limits.pixels:,} pixels") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's openers leak errors of many kinds
        expected = "unsupported or damaged: expected JPEG, PNG, WebP, GIF or AVIF"
        raise Rejected("broken", f"{expected} ({type(error).__name__})") from None
    try:
        return _look(path, image, limits)
    except BaseException:
        image.close()
        raise


def _look(path: Path, image: Image.Image, limits: Limits) -> Source:
    _check_size(path, image, limits)
    frames = _count_frames(image, limits)
    exif = _exif(image)
    stored = exif.get(ExifTags.Base.Orientation)
    orientation = stored if isinstance(stored, int) and 1 <= stored <= 8 else 1
    width, height = image.size if orientation not in TURNED else image.size[::-1]
    icc = image.info.get("icc_profile")
    kept = {int(tag): str(exif[tag])[:500] for tag in COPYRIGHT_TAGS if exif.get(tag)}
    name = "JPEG" if image.format == "MPO" else str(image.format)
    facts = Facts(name, width, height, frames, _has_alpha(image), orientation)
    return Source(image, facts, icc if isinstance(icc, bytes) and icc else None, kept)


def _check_size(path: Path, image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise Rejected("broken", "it has no pixels")
    if width * height > limits.pixels:
        raise Rejected("too-large", f"{width} x {height} are more than {limits.pixels:,} pixels")
    if max(width, height) > limits.side:
        raise Rejected("too-large", f"{width} x {height}: a side of more than {limits.side:,} pixels")
    if image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        if width * height > limits.progressive_pixels:
            raise Rejected("too-large", f"progressive with more than {limits.progressive_pixels:,} pixels")
        scans = count_scans(path.read_bytes(), limits.scans)
        if scans > limits.scans:
            raise Rejected("bomb", f"more than {limits.scans} scans")


def count_scans(data: bytes, most: int) -> int:
    """Scans of a JPEG: its start-of-scan markers, counted up to one more than `most`."""
    count, at = 0, 0
    while count <= most and (at := data.find(b"\xff\xda", at)) >= 0:
        count, at = count + 1, at + 2
    return count


def _count_frames(image: Image.Image, limits: Limits) -> int:
    """Frames up to one more than the limit; by seeking, as a header may lie."""
    count = 1
    try:
        if not getattr(image, "is_animated", False):  # asking makes Pillow read the second frame
            return 1
        while count <= limits.frames:
            image.seek(count)
            count += 1
    except EOFError:
        pass
    except MemoryError:
        raise
    except Exception as error:
        raise Rejected("broken", f"frame {count + 1} can't be read ({type(error).__name__})") from None
    image.seek(0)
    return count


def _exif(image: Image.Image) -> dict[int, object]:
    try:
        return dict(image.getexif())
    except MemoryError:
        raise
    except Exception:  # broken metadata is no reason to refuse the pixels
        return {}


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def draft(source: Source, size: tuple[int, int]) -> None:
    """Let the JPEG decoder scale down while it decodes, but leave DRAFT times `size` (width, height as stored)."""
    if source.image.format in ("JPEG", "MPO"):
        source.image.draft(None, (max(1, round(size[0] * DRAFT)), max(1, round(size[1] * DRAFT))))


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture in L, RGB, RGBA or CMYK. Modes of more bits keep their high ones, rounded."""
    if image.mode in ("L", "RGB", "RGBA", "CMYK"):
        if image.mode in ("L", "RGB") and "transparency" in image.info:
            return image.convert("RGBA")
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if _has_alpha(image) else "RGB")


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert by the embedded profile; without one, or with a broken one, grey and RGB are taken for sRGB."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha is not None else image
    if icc is not None:
        colours = _by_profile(colours, icc)
    if colours.mode not in ("L", "RGB"):
        colours = colours.convert("RGB")
    if alpha is not None:
        colours = colours.convert("RGB")
        colours.putalpha(alpha)
    return colours


def _by_profile(image: Image.Image, icc: bytes) -> Image.Image:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}.get(profile.profile.xcolor_space)
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


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror the pixels as EXIF says."""
    return image if orientation == 1 else image.transpose(TRANSPOSE[orientation])
