"""How each kind of file is opened: what header, chunks and boxes say; limits are checked before a pixel is decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import ExifTags, Image, JpegImagePlugin

from include.images.engine import profiles
from include.images.engine.colour import Space, has_alpha, of_code_points
from include.images.engine.formats import avif, gif, jpeg, jxl, png, signature, webp
from include.images.engine.frames import Frames, Seeking
from include.images.errors import Rejected
from include.images.limits import Limits

COPYRIGHT_TAGS = (ExifTags.Base.Artist, ExifTags.Base.Copyright)
# Most bytes that a pixel took while it was decoded, in pictures of 50 and 108 megapixels.
PIXEL_BYTES = {
    "JPEG": 4, "progressive": 12, "PNG": 10, "WEBP": 16, "GIF": 16, "AVIF": 12, "HEIC": 12, "TIFF": 10, "BMP": 8,
    "JXL": 12,
}  # fmt: skip
WORDS = {kind: f"a {signature.shown(kind)}" for kind in PIXEL_BYTES} | {"progressive": "a progressive JPEG"}
_DNG_VERSION, _SUBFILE_TYPE = 50706, 254  # tags of TIFF


@dataclass
class Opened:
    """What a format has to say of a file. The picture is None where only frames hold pixels."""

    image: Image.Image | None
    size: tuple[int, int]
    space: Space
    exif: bytes | None
    frames: Frames | None = None
    crop: tuple[int, int, int, int] | None = None
    alpha: bool = False
    upright: bool = False  # whatever EXIF says


def _jpeg(data: bytes, limits: Limits) -> Opened:
    image = jpeg_image(data)
    _check_size(image.size, limits, "JPEG")
    if image.info.get("progressive"):
        _check_size(image.size, limits, "progressive")
        if jpeg.markers(data, limits.scans).scans > limits.scans:
            raise Rejected("bomb", f"more than {limits.scans} scans")
    return Opened(image, image.size, _embedded(image), image.info.get("exif"))


def _png(data: bytes, limits: Limits) -> Opened:
    found = png.read(data)
    _check_size(found.size, limits, "PNG")
    frames = found.animation(limits.frames + 1)
    exif = found.facts.get(b"eXIf")
    exif = exif and b"Exif\0\0" + exif
    if frames is not None:
        return Opened(None, found.size, _png_space(found), exif, frames, alpha=True)
    image = found.still()
    return Opened(image, found.size, _png_space(found), exif, alpha=has_alpha(image))


def _png_space(found: png.Png) -> Space:
    """By cICP, else the profile, else what sRGB, gAMA and cHRM say."""
    facts = found.facts
    if len(code := facts.get(b"cICP", b"")) == 4 and code[2:] == b"\0\1":
        return of_code_points(code[0], code[1], found.grey)
    if (icc := found.profile) is not None or b"sRGB" in facts:
        return Space(icc, found.grey)
    gamma = int.from_bytes(facts[b"gAMA"], "big") / 100_000 if len(facts.get(b"gAMA", b"")) == 4 else None
    corners = facts.get(b"cHRM", b"")
    colours = tuple(value / 100_000 for value in struct.unpack(">8I", corners)) if len(corners) == 32 else None
    return Space(profiles.by_gamma(gamma, colours), found.grey)


def _webp(data: bytes, limits: Limits) -> Opened:
    image = _opened(data, "WEBP", webp.whole_frames)
    return _seekable(image, limits, plays=int(image.info.get("loop", 0)))


def _avif(data: bytes, limits: Limits) -> Opened:
    image = _opened(data, "AVIF", avif.mended)
    boxes = avif.read(data, image.size)
    opened = _seekable(image, limits, plays=boxes.plays, crop=boxes.crop)
    if opened.space.icc is None and boxes.colours is not None:
        opened.space = _of_video(*boxes.colours, opened.space.grey)
    return opened


def _opened(data: bytes, form: str, mended: Callable[[bytes], bytes | None]) -> Image.Image:
    """The picture, or what can be made of a file that Pillow does not open."""
    try:
        return Image.open(io.BytesIO(data), formats=(form,))
    except (OSError, SyntaxError):
        better = mended(data)
        if better is None:
            raise
        return Image.open(io.BytesIO(better), formats=(form,))


def _of_video(primaries: int, transfer: int, grey: bool) -> Space:
    """Of AVIF and HEIC, where browsers take the curve of video, and none, for that of sRGB; in PNG they don't."""
    return of_code_points(primaries, 13 if transfer in (1, 2, 6, 14, 15) else transfer, grey)


def _seekable(
    image: Image.Image, limits: Limits, *, plays: int, crop: tuple[int, int, int, int] | None = None
) -> Opened:
    _check_size(image.size, limits, str(image.format))
    count = min(int(getattr(image, "n_frames", 1)), limits.frames + 1)
    frames = Seeking(image, count, plays, crop) if count > 1 else None
    size = image.size if crop is None else (crop[2] - crop[0], crop[3] - crop[1])
    return Opened(image, size, _embedded(image), image.info.get("exif"), frames, crop, has_alpha(image))


def _gif(data: bytes, limits: Limits) -> Opened:
    frames = gif.pieces(data, limits.frames + 1)
    _check_size(frames.size, limits, "GIF")
    return Opened(None, frames.size, Space(), None, frames, alpha=True)


def _heic(data: bytes, limits: Limits) -> Opened:
    """The primary picture; turned and cut by the decoder as its boxes say."""
    import pi_heif  # most processes never meet one

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    image = Image.open(io.BytesIO(data), formats=("HEIF",))
    _check_size(image.size, limits, "HEIC")
    space, numbers = _embedded(image), image.info.get("nclx_profile") or {}
    if space.icc is None and numbers:
        space = _of_video(int(numbers["color_primaries"]), int(numbers["transfer_characteristics"]), space.grey)
    return Opened(image, image.size, space, image.info.get("exif"), alpha=has_alpha(image))


def _tiff(data: bytes, limits: Limits) -> Opened:
    """The first page, which Pillow turns as the file says."""
    image = Image.open(io.BytesIO(data), formats=("TIFF",))
    _check_size(image.size, limits, "TIFF")
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & 1:  # what is at hand is a small preview
        raise Rejected("type", signature.raw_refusal())
    return Opened(image, image.size, _embedded(image), _rights(tags), alpha=has_alpha(image), upright=True)


def _rights(tags: Mapping[int, object]) -> bytes | None:
    """EXIF of what is kept of the tags of a TIFF."""
    exif = Image.Exif()
    for tag in COPYRIGHT_TAGS:
        if tags.get(tag):
            exif[tag] = str(tags[tag])
    return exif.tobytes() if len(exif) else None


def _bmp(data: bytes, limits: Limits) -> Opened:
    image = Image.open(io.BytesIO(data), formats=("BMP",))
    _check_size(image.size, limits, "BMP")
    return Opened(image, image.size, Space(), None, alpha=has_alpha(image))


def _jxl(data: bytes, limits: Limits) -> Opened:
    """The first frame. The plugin decodes when it opens, so the size comes from our own look."""
    import pillow_jxl.JpegXLImagePlugin as plugin  # most processes never meet one

    plugin.DECODE_THREADS = 0
    _check_size(jxl.size(data), limits, "JXL")
    image = Image.open(io.BytesIO(data), formats=("JXL",))
    _check_size(image.size, limits, "JXL")
    stands = not getattr(image, "jpeg", False)  # a JPEG that was packed without loss lies as it lay
    exif = image.info.get("exif")
    return Opened(image, image.size, _embedded(image), exif, alpha=has_alpha(image), upright=stands)


def _check_size(size: tuple[int, int], limits: Limits, kind: str) -> None:
    """Raise Rejected for a picture that is too large, or would take too much memory as long as it is decoded."""
    width, height = size
    if width < 1 or height < 1:
        raise Rejected("broken", "it has no pixels")
    if width * height > limits.pixels:
        raise Rejected("too-large", f"{width} x {height} are more than {limits.pixels:,} pixels")
    if max(width, height) > limits.side:
        raise Rejected("too-large", f"{width} x {height}: a side of more than {limits.side:,} pixels")
    if width * height * PIXEL_BYTES[kind] > limits.decode_bytes:
        most = limits.decode_bytes // PIXEL_BYTES[kind]
        raise Rejected("too-large", f"{width} x {height} are more than {most:,} pixels, the most for {WORDS[kind]}")


def _embedded(image: Image.Image) -> Space:
    icc = image.info.get("icc_profile")
    return Space(icc if isinstance(icc, bytes) and icc else None, image.mode in ("1", "L", "LA"))


def jpeg_image(data: bytes) -> Image.Image:
    """The first picture of a JPEG, whatever is behind it."""
    return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


OPENERS: dict[str, Callable[[bytes, Limits], Opened]] = {
    "JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif, "AVIF": _avif, "HEIC": _heic, "TIFF": _tiff, "BMP": _bmp,
    "JXL": _jxl,
}  # fmt: skip
