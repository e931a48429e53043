"""What a file is by its first bytes, whatever it is called or declared to be."""

from __future__ import annotations

from include.images.limits import kinds

HEAD_BYTES = 64
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_NAMES = {"HEIC": "a HEIC picture", "TIFF": "a TIFF picture", "BMP": "a BMP picture", "JXL": "a JPEG XL picture"}

# Kinds that people send and that are none of ours, by their first bytes.
_OTHERS = (
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"IIRO", "a camera's raw file"), (b"IIU\0", "a camera's raw file"), (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"\0\0\x01\0", "an icon (ICO)"), (b"8BPS", "a Photoshop file (PSD)"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"), (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"%PDF", "a PDF document"), (b"%!PS", "a PostScript file (EPS)"), (b"\xc5\xd0\xd3\xc6", "a PostScript file (EPS)"),
    (b"PK\x03\x04", "a ZIP archive or an office document"), (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf", "a 7-Zip archive"), (b"\x1aE\xdf\xa3", "a video (WebM or Matroska)"),
    (b"gimp xcf", "a GIMP file (XCF)"), (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"#!", "a script"),
)  # fmt: skip
# Brands of the container that HEIC, AVIF and videos share.
_BRANDS = {b"crx ": "a camera's raw file (CR3)", b"jp2 ": "a JPEG 2000 picture"}


def type_of(head: bytes) -> str | None:
    """The kind of picture that the first bytes announce, one of KINDS, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in head[16:HEAD_BYTES]):
        return "AVIF"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "HEIC"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and head[8:10] != b"CR":
        return "TIFF"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JXL"
    return None


def accepted(head: bytes) -> str | None:
    """The kind of picture, if it is one that is taken in."""
    kind = type_of(head)
    return kind if kind in kinds() else None


def other(head: bytes) -> str | None:
    """What a file is that is not taken in, in words; None when nothing is known."""
    if (kind := type_of(head)) is not None:
        return _NAMES.get(kind, f"a {shown(kind)} picture")
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "a camera's raw file (CR2)"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    for start, name in _OTHERS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF":
        return "a video (AVI)" if head[8:12] == b"AVI " else "a sound file" if head[8:12] == b"WAVE" else None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!doctype")) and b"svg" in text):
        return "an SVG drawing"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "an XML document" if text.startswith(b"<?xml") else None


def raw_refusal() -> str:
    """The sentence for a camera's raw file that looks like a TIFF."""
    return f"this is a camera's raw file; {_expected()}"


def shown(kind: str) -> str:
    """A kind as people write it."""
    return {"WEBP": "WebP", "JXL": "JPEG XL"}.get(kind, kind)


def _expected() -> str:
    *most, last = map(shown, kinds())
    return f"expected {', '.join(most)} or {last}" if most else f"expected {last}"


def refusal(head: bytes) -> str:
    """The sentence for a file that is not taken in."""
    name = other(head)
    return f"this is {name}; {_expected()}" if name else f"unsupported file type: {_expected()}"
