"""The way that most tutorials show: open the picture and resize it with Lanczos, for each rendition anew."""

from __future__ import annotations

import json
import sys
from typing import Any

from PIL import Image


def make(picture: str, folder: str, order: dict[str, Any]) -> None:
    """All renditions of one picture."""
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"quality": order["jpeg"], "progressive": True, "optimize": True},
        "webp": {"quality": order["webp"], "method": order["effort"]},
        "png": {"compress_level": 1},
    }
    for one in order["renditions"]:
        with Image.open(picture) as image:
            scale = one["side"] / max(image.size)
            small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        options["jpeg"]["subsampling"] = "4:4:4" if one["full_chroma"] else "4:2:0"
        for form in order["forms"]:
            suffix = "jpg" if form == "jpeg" else form
            small.save(f"{folder}/{one['name']}.{suffix}", form.upper(), **options[form])


def main() -> None:
    """Answer each line."""
    order = json.loads(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        picture, folder = line.rstrip("\n").split("\t")
        make(picture, folder, order)
        print("done", flush=True)


if __name__ == "__main__":
    main()
