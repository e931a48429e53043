"""pyvips as an expert writes it: `thumbnail` scales while it decodes; each smaller one comes from the one before.

Runs in a venv of its own. VIPS_CONCURRENCY is 1, as there are as many processes as cores.
"""

from __future__ import annotations

import json
import sys

import pyvips

from bench.images.serve import serve

ORDER = json.loads(sys.argv[1])
pyvips.cache_set_max(0)


def make(picture: str, folder: str) -> None:
    """All renditions of one picture."""
    image = None
    for one in ORDER["renditions"]:
        side = one["side"]
        if image is None:
            image = pyvips.Image.thumbnail(picture, side, height=side, size="down")
        else:
            image = image.thumbnail_image(side, height=side, size="down")
        image = image.copy_memory()
        stem, mode = f"{folder}/{one['name']}", "off" if one["full_chroma"] else "on"
        for form in ORDER["forms"]:
            if form == "jpeg":
                options = {"Q": ORDER["jpeg"], "interlace": True, "optimize_coding": True, "subsample_mode": mode}
                image.jpegsave(f"{stem}.jpg", keep="none", **options)
            elif form == "webp":
                image.webpsave(f"{stem}.webp", Q=ORDER["webp"], effort=ORDER["effort"], keep="none")
            else:
                image.pngsave(f"{stem}.png", compression=1, keep="none")


if __name__ == "__main__":
    serve(make, pyvips.Error)
