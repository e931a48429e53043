"""Opens a picture safely, and says what it is.

Nothing here trusts the file. Limits are checked from the header, before a pixel is decoded; the caller still runs it in
a child process, because a decoder can loop or eat memory within the limits.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, JpegImagePlugin

from include.images.engine import profiles
from include.images.engine.colour import Space, has_alpha, of_code_points
from include.images.engine.formats import avif, gif, jpeg, png, signature, webp
from include.images.engine.frames import Frame, Frames, Seeking
from include.images.errors import Rejected
from include.images.limits import Limits

DRAFT = 1.4  # a JPEG is decoded at the smallest scale that is still this much larger than what is wanted
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
COPYRIGHT_TAGS = (ExifTags.Base.Artist, ExifTags.Base.Copyright)
NAMES = {"WEBP": "WebP"}


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
class _Opened:
    """What a format has to say of a file. The picture is None where only frames hold pixels."""

    image: Image.Image | None
    size: tuple[int, int]
    space: Space
    exif: bytes | None
    frames: Frames | None = None
    crop: tuple[int, int, int, int] | None = None
    alpha: bool = False


@dataclass
class Source:
    """An open picture; use it as a context, which closes the file."""

    data: bytes  # the file
    facts: Facts
    space: Space
    copyright: dict[int, str]
    frames: Frames | None  # None for a still
    salvage: bool
    _image: Image.Image | None
    _crop: tuple[int, int, int, int] | None

    @property
    def turned(self) -> bool:
        """Whether the pixels lie on their side."""
        return self.facts.orientation in TURNED

    def first(self, size: tuple[int, int]) -> Image.Image:
        """The picture, or the first frame: of a JPEG scaled down, but to no less than DRAFT times `size` as stored.

        Raises Rejected when its pixels can't be read.
        """
        try:
            return self._first(size)
        except (MemoryError, Rejected):
            raise
        except Exception as error:  # decoders leak errors of many kinds
            raise Rejected("broken", self._fault()) from error

    def _first(self, size: tuple[int, int]) -> Image.Image:
        with _whatever_is_there(self.salvage):
            if self._image is None:
                assert self.frames is not None
                return _opaque(next(iter(self.frames))[0])
            if self.facts.format == "JPEG":
                return self._jpeg(self._image, size)
            if self.salvage and self.facts.format == "PNG" and not png.read(self.data).begins:
                raise ValueError("no row of it is there")
            self._image.load()
            return self._image if self._crop is None else self._image.crop(self._crop)

    def _jpeg(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        try:
            return _drafted(image, size)
        except (OSError, SyntaxError) as error:
            if jpeg.markers(self.data).ends:
                raise
            # Only the end marker may be missing. Then other bytes in its place make no difference to any pixel.
            one, other = (
                _drafted(_jpeg_image(self.data + tail), image.size) for tail in (jpeg.END, b"\x35" * 64 + jpeg.END)
            )
            if not self.salvage and one.tobytes() != other.tobytes():
                raise error
            return one

    def moving(self) -> Iterator[Frame]:
        """The frames, up to the first one that can't be read. Raises Rejected when that is the first of all."""
        assert self.frames is not None
        frames, shown = iter(self.frames), 0
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return
            except MemoryError:
                raise
            except Exception as error:  # decoders leak errors of many kinds
                if shown:
                    return
                raise Rejected("broken", self._fault()) from error
            shown += 1
            yield frame

    def _fault(self) -> str:
        name = self.facts.format
        if name == "JPEG":
            return jpeg.fault(self.data)
        if name == "PNG" and not png.read(self.data).ends:
            return "the PNG file ends early: it was cut off"
        return f"the {NAMES.get(name, name)} file is damaged or cut off: its pixels can't be read"

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        if self._image is not None:
            self._image.close()


def open_source(path: Path, limits: Limits, *, salvage: bool = False) -> Source:
    """Open a file and check its header. Raises Rejected, with the limit and the value, when it is not fit.

    With `salvage`, what is there of a file that was cut off or damaged is taken.
    """
    Image.MAX_IMAGE_PIXELS = limits.pixels
    data = path.read_bytes()
    head = data[: signature.HEAD_BYTES]
    name = signature.type_of(head)
    if name is None:
        raise Rejected("type", signature.refusal(head)) if head else Rejected("broken", "the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = _OPENERS[name](data, limits)
    except (MemoryError, Rejected):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Rejected("too-large", f"more than {limits.pixels:,} pixels") from None
    except Exception as error:  # Pillow's openers leak errors of many kinds
        raise Rejected("broken", _why(name, data)) from error
    try:
        return _source(data, name, opened, salvage)
    except BaseException:
        if opened.image is not None:
            opened.image.close()
        raise


def _why(name: str, data: bytes) -> str:
    if name == "JPEG":
        return jpeg.fault(data)
    if name == "AVIF":
        return "this AVIF file is damaged, cut off, or not as the standard has it"
    return f"the {NAMES.get(name, name)} file is damaged or cut off: it can't be opened"


def _source(data: bytes, name: str, opened: _Opened, salvage: bool) -> Source:
    exif = _exif(opened.exif)
    stored = exif.get(ExifTags.Base.Orientation)
    orientation = stored if isinstance(stored, int) and 1 <= stored <= 8 else 1
    width, height = opened.size if orientation not in TURNED else opened.size[::-1]
    kept = {int(tag): _text(exif[tag])[:500] for tag in COPYRIGHT_TAGS if exif.get(tag)}
    frames = opened.frames if opened.frames is not None and opened.frames.count > 1 else None
    count = 1 if frames is None else frames.count
    facts = Facts(name, width, height, count, opened.alpha, orientation)
    moving = frames if opened.image is not None else opened.frames
    return Source(data, facts, opened.space, kept, moving, salvage, opened.image, opened.crop)


def _jpeg(data: bytes, limits: Limits) -> _Opened:
    image = _jpeg_image(data)  # whatever further pictures it holds
    _check_size(image.size, limits)
    if image.info.get("progressive"):
        if image.width * image.height > limits.progressive_pixels:
            raise Rejected("too-large", f"progressive with more than {limits.progressive_pixels:,} pixels")
        if jpeg.markers(data, limits.scans).scans > limits.scans:
            raise Rejected("bomb", f"more than {limits.scans} scans")
    return _Opened(image, image.size, _embedded(image), image.info.get("exif"))


def _png(data: bytes, limits: Limits) -> _Opened:
    found = png.read(data)
    _check_size(found.size, limits)
    frames = found.animation(limits.frames + 1)
    exif = found.facts.get(b"eXIf")
    exif = exif and b"Exif\0\0" + exif
    if frames is not None:
        return _Opened(None, found.size, _png_space(found), exif, frames, alpha=True)
    image = found.still()
    return _Opened(image, found.size, _png_space(found), exif, alpha=has_alpha(image))


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


def _webp(data: bytes, limits: Limits) -> _Opened:
    try:
        image = Image.open(io.BytesIO(data), formats=("WEBP",))
    except (OSError, SyntaxError):
        left = webp.whole_frames(data)
        if left is None:
            raise
        image = Image.open(io.BytesIO(left), formats=("WEBP",))
    return _seekable(image, limits, plays=int(image.info.get("loop", 0)))


def _avif(data: bytes, limits: Limits) -> _Opened:
    try:
        image = Image.open(io.BytesIO(data), formats=("AVIF",))
    except (OSError, SyntaxError):
        better = avif.mended(data)
        if better is None:
            raise
        image = Image.open(io.BytesIO(better), formats=("AVIF",))
    boxes = avif.read(data, image.size)
    opened = _seekable(image, limits, plays=boxes.plays, crop=boxes.crop)
    if opened.space.icc is None and boxes.colours is not None:
        primaries, transfer = boxes.colours
        # Browsers take the curve of video, and none, for that of sRGB here; in PNG they don't.
        transfer = 13 if transfer in (1, 2, 6, 14, 15) else transfer
        opened.space = of_code_points(primaries, transfer, opened.space.grey)
    return opened


def _seekable(
    image: Image.Image, limits: Limits, *, plays: int, crop: tuple[int, int, int, int] | None = None
) -> _Opened:
    _check_size(image.size, limits)
    count = min(int(getattr(image, "n_frames", 1)), limits.frames + 1)
    frames = Seeking(image, count, plays, crop) if count > 1 else None
    size = image.size if crop is None else (crop[2] - crop[0], crop[3] - crop[1])
    return _Opened(image, size, _embedded(image), image.info.get("exif"), frames, crop, has_alpha(image))


def _gif(data: bytes, limits: Limits) -> _Opened:
    frames = gif.pieces(data, limits.frames + 1)
    _check_size(frames.size, limits)
    return _Opened(None, frames.size, Space(), None, frames, alpha=True)


_OPENERS = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif, "AVIF": _avif}


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise Rejected("broken", "it has no pixels")
    if width * height > limits.pixels:
        raise Rejected("too-large", f"{width} x {height} are more than {limits.pixels:,} pixels")
    if max(width, height) > limits.side:
        raise Rejected("too-large", f"{width} x {height}: a side of more than {limits.side:,} pixels")


def _embedded(image: Image.Image) -> Space:
    icc = image.info.get("icc_profile")
    return Space(icc if isinstance(icc, bytes) and icc else None, image.mode in ("1", "L", "LA"))


def _exif(data: bytes | None) -> dict[int, object]:
    """EXIF alone: an orientation that only XMP or a text names is no browser's."""
    try:
        exif = Image.Exif()
        if isinstance(data, bytes):
            exif.load(data)
        return dict(exif)
    except MemoryError:
        raise
    except Exception:  # broken metadata is no reason to refuse the pixels
        return {}


def _text(value: object) -> str:
    """A text of EXIF: UTF-8 as programs write it, or Latin-1, as which Pillow reads it."""
    try:
        return str(value).encode("latin-1").decode()
    except UnicodeError:
        return str(value)


@contextmanager
def _whatever_is_there(salvage: bool) -> Iterator[None]:
    """Pillow's switch, which is for the whole process, for as long as one picture is read."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, salvage
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _jpeg_image(data: bytes) -> Image.Image:
    return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


def _drafted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Decode a JPEG, scaled down by its decoder as far as that leaves DRAFT times `size`."""
    image.draft(None, (max(1, round(size[0] * DRAFT)), max(1, round(size[1] * DRAFT))))
    image.load()
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """Without alpha, where nothing is transparent."""
    return image.convert("RGB") if image.getextrema()[-1] == (255, 255) else image


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror the pixels as EXIF says."""
    return image if orientation == 1 else image.transpose(TRANSPOSE[orientation])
