"""The way that most tutorials show: open the picture and resize it with Lanczos, for each rendition anew."""

from __future__ import annotations

import json
import sys
from typing import Any

from PIL import Image

from bench.images.serve import serve

ORDER = json.loads(sys.argv[1])
OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": ORDER["jpeg"], "progressive": True, "optimize": True},
    "webp": {"quality": ORDER["webp"], "method": ORDER["effort"]},
    "png": {"compress_level": 1},
}


def make(picture: str, folder: str) -> None:
    """All renditions of one picture."""
    for one in ORDER["renditions"]:
        with Image.open(picture) as image:
            scale = one["side"] / max(image.size)
            small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        OPTIONS["jpeg"]["subsampling"] = "4:4:4" if one["full_chroma"] else "4:2:0"
        for form in ORDER["forms"]:
            suffix = "jpg" if form == "jpeg" else form
            small.save(f"{folder}/{one['name']}.{suffix}", form.upper(), **OPTIONS[form])


if __name__ == "__main__":
    serve(make)
