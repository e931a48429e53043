"""pyvips as an expert writes it: `thumbnail` scales while it decodes; each smaller one comes from the one before.

Runs in a venv of its own. VIPS_CONCURRENCY is 1, as there are as many processes as cores.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pyvips

pyvips.cache_set_max(0)


def make(picture: str, folder: str, order: dict[str, Any]) -> None:
    """All renditions of one picture."""
    image = None
    for one in order["renditions"]:
        side = one["side"]
        if image is None:
            image = pyvips.Image.thumbnail(picture, side, height=side, size="down")
        else:
            image = image.thumbnail_image(side, height=side, size="down")
        image = image.copy_memory()
        for form in order["forms"]:
            _save(image, f"{folder}/{one['name']}", form, one["full_chroma"], order)


def _save(image: pyvips.Image, stem: str, form: str, full_chroma: bool, order: dict[str, Any]) -> None:
    if form == "jpeg":
        mode = "off" if full_chroma else "on"
        image.jpegsave(
            f"{stem}.jpg", Q=order["jpeg"], interlace=True, optimize_coding=True, subsample_mode=mode, keep="none"
        )
    elif form == "webp":
        image.webpsave(f"{stem}.webp", Q=order["webp"], effort=order["effort"], keep="none")
    else:
        image.pngsave(f"{stem}.png", compression=1, keep="none")


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
