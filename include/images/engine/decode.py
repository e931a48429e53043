"""Opens a picture safely, and says what it is.

Nothing here trusts the file. Limits are checked from the header, before a pixel is decoded; the caller still runs it in
a child process, because a decoder can loop or eat memory within the limits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageFile

from include.images.engine.colour import Space
from include.images.engine.formats import jpeg, png, signature
from include.images.engine.frames import Frame, Frames
from include.images.engine.openers import COPYRIGHT_TAGS, OPENERS, Opened, jpeg_image
from include.images.errors import Rejected
from include.images.limits import Limits

DRAFT = 1.4  # a JPEG is decoded at the smallest scale that is still this much larger than what is wanted
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


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

    data: bytes  # the file
    facts: Facts
    space: Space
    exif: bytes | None  # a TIFF itself, where it is one
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
                _drafted(jpeg_image(self.data + tail), image.size) for tail in (jpeg.END, b"\x35" * 64 + jpeg.END)
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
        return f"the {signature.shown(name)} file is damaged or cut off: its pixels can't be read"

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
    name = signature.accepted(head)
    if name is None:
        raise Rejected("type", signature.refusal(head)) if head else Rejected("broken", "the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = OPENERS[name](data, limits)
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
    if name in ("AVIF", "HEIC", "JXL"):
        return f"this {signature.shown(name)} file is damaged, cut off, or not as the standard has it"
    return f"the {signature.shown(name)} file is damaged or cut off: it can't be opened"


def _source(data: bytes, name: str, opened: Opened, salvage: bool) -> Source:
    exif = _exif(opened.exif)
    stored = exif.get(ExifTags.Base.Orientation)
    orientation = stored if isinstance(stored, int) and 1 <= stored <= 8 and not opened.upright else 1
    width, height = opened.size if orientation not in TURNED else opened.size[::-1]
    kept = {int(tag): _text(exif[tag])[:500] for tag in COPYRIGHT_TAGS if exif.get(tag)}
    frames = opened.frames if opened.frames is not None and opened.frames.count > 1 else None
    count = 1 if frames is None else frames.count
    facts = Facts(name, width, height, count, opened.alpha, orientation)
    moving = frames if opened.image is not None else opened.frames
    told = data if name == "TIFF" else opened.exif
    return Source(data, facts, opened.space, told, kept, moving, salvage, opened.image, opened.crop)


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
