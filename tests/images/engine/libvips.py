"""libvips' own chain, which is sharp's too: what it makes of a picture, and pictures that only it writes.

The package `pyvips-binary` brings the library; pyvips itself, which has no wheel, is not needed for four calls.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from importlib.metadata import files
from typing import Any

import numpy as np
import numpy.typing as npt

_DOWN, _SRGB, _GREY, _RGB16, _GREY16, _UCHAR, _USHORT = 2, 22, 1, 25, 26, 0, 2


@cache
def _library() -> Any:
    (found,) = (
        file for file in files("pyvips-binary") or () if file.name.startswith("libvips.so") or "libvips-" in file.name
    )
    library = ctypes.CDLL(str(found.locate()))
    library.vips_image_write_to_memory.restype = c_void_p
    library.vips_image_new_from_memory_copy.restype = c_void_p
    library.vips_error_buffer.restype = c_char_p
    os.environ["VIPS_WARNING"] = "0"  # what it thinks of odd files is of no interest here
    assert library.vips_init(b"tests") == 0
    library.vips_concurrency_set(1)
    library.vips_cache_set_max(0)
    return library


def _checked(code: int) -> None:
    if code:
        message = _library().vips_error_buffer().decode(errors="replace")
        _library().vips_error_clear()
        raise OSError(message)


def thumbnail(data: bytes, side: int, *, frames: bool = False) -> list[npt.NDArray[np.uint8]]:
    """The picture, or all frames, upright, in sRGB and with the longer side at most `side` long: RGBA."""
    library, image, shown = _library(), c_void_p(), c_void_p()
    options = b"n=-1" if frames else b""
    _checked(library.vips_thumbnail_buffer(
        data, c_size_t(len(data)), byref(image), side, b"height", side, b"size", _DOWN, b"option_string", options,
        b"export_profile", b"srgb", None
    ))  # fmt: skip
    try:
        _checked(library.vips_colourspace(image, byref(shown), _SRGB, None))
        return _frames(shown)
    finally:
        library.g_object_unref(image)


def _frames(image: c_void_p) -> list[npt.NDArray[np.uint8]]:
    library, cast, size = _library(), c_void_p(), c_size_t()
    page = library.vips_image_get_page_height(image)
    _checked(library.vips_cast(image, byref(cast), _UCHAR, None))
    library.g_object_unref(image)
    width, height, bands = (getattr(library, f"vips_image_get_{name}")(cast) for name in ("width", "height", "bands"))
    memory = library.vips_image_write_to_memory(cast, byref(size))
    library.g_object_unref(cast)
    if not memory:
        _checked(1)
    pixels = np.frombuffer(ctypes.string_at(memory, size.value), np.uint8).reshape(height, width, bands)
    library.g_free(c_void_p(memory))
    colours = pixels if bands > 2 else np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
    if colours.shape[2] == 3:
        colours = np.concatenate([colours, np.full((height, width, 1), 255, np.uint8)], axis=2)
    return [colours[at : at + page] for at in range(0, height, page)]


def field(data: bytes, name: str) -> str | None:
    """What it reads of a file's metadata: the text of a field such as `exif-ifd2-DateTimeOriginal`."""
    library, found = _library(), c_char_p()
    library.vips_image_new_from_buffer.restype = c_void_p
    image = c_void_p(library.vips_image_new_from_buffer(data, c_size_t(len(data)), b"", None))
    if not image:
        _checked(1)
    try:
        if not library.vips_image_get_typeof(image, name.encode()):
            return None
        _checked(library.vips_image_get_string(image, name.encode(), byref(found)))
        # As `2026:03:01 12:30:00 (2026:03:01 12:30:00, ASCII, 20 components, 20 bytes)`.
        return (found.value or b"").decode().rpartition(" (")[0]
    finally:
        library.g_object_unref(image)


def written(pixels: npt.NDArray[Any], saver: str, *, fields: Mapping[str, str] | None = None, **options: int) -> bytes:
    """A file of 8 or 16 bits, of (height, width, bands), by `saver` (`png`, `heif`) and its options.

    `fields` are those of EXIF, by libvips' names, with its texts.
    """
    library, image, buffer, size = _library(), c_void_p(), c_void_p(), c_size_t()
    height, width, bands = pixels.shape
    wide = pixels.dtype == np.uint16
    flat = pixels.tobytes()
    source = c_void_p(library.vips_image_new_from_memory_copy(
        flat, c_size_t(len(flat)), width, height, bands, _USHORT if wide else _UCHAR
    ))  # fmt: skip
    kind = (_GREY16 if wide else _GREY) if bands < 3 else (_RGB16 if wide else _SRGB)
    _checked(library.vips_copy(source, byref(image), b"interpretation", kind, None))
    library.g_object_unref(source)
    for name, text in (fields or {}).items():
        library.vips_image_set_string(image, name.encode(), text.encode())
    words: list[Any] = []
    for name, value in options.items():
        words += [name.encode(), c_int(value)]
    try:
        _checked(getattr(library, f"vips_{saver}save_buffer")(image, byref(buffer), byref(size), *words, None))
    finally:
        library.g_object_unref(image)
    found = ctypes.string_at(buffer.value or 0, size.value)
    library.g_free(buffer)
    return found
