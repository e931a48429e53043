"""One rendition, as a recipe declares it: its size, what is kept, what is laid on it, how it is encoded."""

from __future__ import annotations

import hashlib
import io
import json
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

ENGINE = 2  # goes up when the same recipe comes out otherwise, so that renditions are made anew
Format = Literal["jpeg", "webp", "avif", "png"]
SUFFIX: dict[str, str] = {"jpeg": "jpg", "webp": "webp", "avif": "avif", "png": "png"}
ALPHA = ("webp", "avif", "png")
ANIMATED = ("webp",)
MARK_BYTES, MARK_SIDE = 5_000_000, 4_000  # of a watermark's file: it is held in memory by every process


class Model(BaseModel):
    """A part of the recipe file: what it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _unused(value: object) -> bool:
    """Of a field that came later: left out of what is hashed, so that recipes without it stay what they were."""
    return not value


class Point(Model):
    """A place in the picture as it is seen, in shares of its width and height."""

    x: float = Field(ge=0, le=1, description="0 is the left edge, 1 the right one.")
    y: float = Field(ge=0, le=1, description="0 is the upper edge, 1 the lower one.")


class Watermark(Model):
    """A picture that is laid on a rendition."""

    file: str = Field(description="A PNG, by its path below the recipe file's folder.")
    position: Literal["top-left", "top-right", "centre", "bottom-left", "bottom-right"] = Field(
        "bottom-right", description="Which corner it lies in, or the centre."
    )
    size: float = Field(0.2, gt=0, le=1, description="Its width, as a share of the rendition's.")
    margin: float = Field(
        0.03, ge=0, le=0.4, description="What is left free at the edges, as a share of the shorter side."
    )
    opacity: float = Field(1.0, gt=0, le=1, description="1 covers what is below; 0.3 lets most of it through.")
    _data: bytes = PrivateAttr(b"")

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> Watermark:
        # Now, so that a file that can't be used is said before any picture is made, and one that has changed is seen.
        self._data = _png((info.context or {}).get("folder", Path()), self.file)
        return self

    @property
    def data(self) -> bytes:
        """The file as it was when the recipes were read."""
        return self._data

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self._data).hexdigest()


def _png(folder: Path, name: str) -> bytes:
    """The file's bytes. Raises ValueError when it lies elsewhere, is not there or is no whole PNG."""
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise ValueError(f"file: {name} does not lie below {folder}")
    try:
        if not place.is_file():
            raise ValueError(f"file: there is no file {place}")
        if place.stat().st_size > MARK_BYTES:
            raise ValueError(f"file: {place} is larger than {MARK_BYTES / 1e6:g} MB")
        data = place.read_bytes()
    except OSError as fault:
        raise ValueError(f"file: {place} can't be read: {fault.strerror}") from None
    if wrong := _fault(data):
        raise ValueError(f"file: {place} can't be used as a PNG: {wrong}")
    return data


def _fault(data: bytes) -> str | None:
    from PIL import Image  # most recipes have no watermark, and the server of the pages reads recipes too

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > MARK_SIDE:
                return f"it has more than {MARK_SIDE} pixels a side"
            image.load()
    except Exception as fault:  # Pillow has many
        return str(fault) or type(fault).__name__
    return None


class Quality(Model):
    """How well each format is encoded."""

    jpeg: int = Field(82, ge=1, le=95, description="Quality of JPEG.")
    webp: int = Field(80, ge=1, le=100, description="Quality of WebP.")
    avif: int = Field(60, ge=1, le=100, description="Quality of AVIF.")
    webp_effort: int = Field(
        2, ge=0, le=6, description="How long WebP is tried to be made smaller: 4 takes twice as 2."
    )
    avif_speed: int = Field(8, ge=0, le=10, description="How fast AVIF is encoded; below 6 takes seconds a picture.")
    target_ssim: float | None = Field(
        None, gt=0, lt=1, exclude_if=_unused,
        description="Each lossy file is the smallest found whose SSIM to the rendition is at least this.",
    )  # fmt: skip
    max_bytes: int | None = Field(
        None, ge=1, exclude_if=_unused, description="Each lossy file has the highest quality that fits into this."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Quality:
        if self.target_ssim is not None and self.max_bytes is not None:
            raise ValueError("takes target_ssim or max_bytes, not both")
        return self


class Recipe(Model):
    """One rendition."""

    side: int | None = Field(None, ge=1, le=16_000, description="Pixels of the longer side.")
    box: tuple[int, int] | None = Field(None, description="Width and height in pixels.")
    fit: Literal["inside", "cover", "contain"] = Field(
        "inside", description="inside the box; cover it and crop the rest; contained in it, on the background."
    )
    crop: Literal["centre", "attention", "focal"] | Point = Field(
        "centre",
        description="What `cover` keeps: the centre; where most of the detail is; the point that an upload names, or"
        " else where most of the detail is; or what is around a point.",
    )
    formats: tuple[Format, ...] = Field(("jpeg", "webp"), min_length=1, description="Files made of the rendition.")
    background: str = Field("#ffffff", pattern=r"^#[0-9a-f]{6}$", description="Laid under transparency and around.")
    quality: Quality = Field(default_factory=lambda: Quality.model_validate({}), description="Encoder settings.")
    sharpen: float = Field(0.0, ge=0, le=5, description="Strength of an unsharp mask after resizing; 0 for none.")
    blur: float = Field(
        0.0, ge=0, le=100, exclude_if=_unused, description="Sigma in pixels of a Gaussian blur; 0 for none."
    )
    watermark: Watermark | None = Field(
        None, exclude_if=_unused, description="Laid on the finished rendition, and on each frame of an animation."
    )
    enlarge: bool = Field(False, description="Whether a smaller picture is made larger.")
    salvage: bool = Field(
        False, description="Whether it is made of what is there of a file that was cut off or damaged."
    )
    keep_copyright: bool = Field(False, description="Whether artist and copyright stay in the file.")

    @field_validator("box")
    @classmethod
    def _positive(cls, box: tuple[int, int] | None) -> tuple[int, int] | None:
        if box is not None and not all(1 <= side <= 16_000 for side in box):
            raise ValueError("width and height must be 1 to 16000")
        return box

    @model_validator(mode="after")
    def _one_size(self) -> Recipe:
        if (self.side is None) == (self.box is None):
            raise ValueError("needs either side or box")
        if self.side is not None and self.fit != "inside":
            raise ValueError(f"fit {self.fit} needs a box")
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("a format is listed twice")
        return self

    @cached_property
    def identity(self) -> str:
        """16 hex digits of all that decides what comes out."""
        values = {"engine": ENGINE, **self.model_dump(mode="json", exclude={"formats": True, "watermark": {"file"}})}
        if self.watermark is not None:
            values["watermark"]["sha256"] = self.watermark.sha256
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def around(self, point: Point) -> Recipe:
        """The same recipe with that focal point, if it has one."""
        if self.crop != "focal":
            return self
        # By its fields: a copy would have the identity of this one, too, once that was asked for.
        return Recipe(**{name: getattr(self, name) for name in Recipe.model_fields} | {"crop": point})
