"""Command lines: vipsthumbnail, one call a rendition and format, and ImageMagick, one call a picture."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.images.serve import serve

KIND, PROGRAM, ORDER = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
SECONDS = 100.0


def vipsthumbnail(picture: str, folder: str) -> list[list[str]]:
    """It takes one output format a call."""
    calls = []
    for one in ORDER["renditions"]:
        mode, size = "off" if one["full_chroma"] else "on", f"{one['side']}x{one['side']}>"
        endings = {
            "jpeg": f"jpg[Q={ORDER['jpeg']},interlace,optimize_coding,subsample_mode={mode},strip]",
            "webp": f"webp[Q={ORDER['webp']},effort={ORDER['effort']},strip]",
            "png": "png[compression=1,strip]",
        }
        for form in ORDER["forms"]:
            calls.append([PROGRAM, picture, "--size", size, "-o", f"{folder}/{one['name']}.{endings[form]}"])
    return calls


def imagemagick(picture: str, folder: str) -> list[list[str]]:
    """Its JPEG reader is told to scale to twice what is wanted; each smaller one comes from the one before."""
    largest = ORDER["renditions"][0]["side"]
    size = f"jpeg:size={2 * largest}x{2 * largest}"
    words = [PROGRAM, "-limit", "thread", "1", "-define", size, picture, "-auto-orient", "-strip"]
    for one in ORDER["renditions"]:
        words += ["-filter", "Lanczos", "-resize", f"{one['side']}x{one['side']}>"]
        chroma = "4:4:4" if one["full_chroma"] else "4:2:0"
        options = {
            "jpeg": ["-quality", str(ORDER["jpeg"]), "-interlace", "JPEG", "-sampling-factor", chroma],
            "webp": ["-quality", str(ORDER["webp"]), "-define", f"webp:method={ORDER['effort']}"],
            "png": ["-quality", "15"],
        }
        for form in ORDER["forms"]:
            words += [*options[form], "-write", f"{folder}/{one['name']}.{'jpg' if form == 'jpeg' else form}"]
    return [[*words, "null:"]]


def make(picture: str, folder: str) -> None:
    """All renditions of one picture."""
    for command in {"vipsthumbnail": vipsthumbnail, "imagemagick": imagemagick}[KIND](picture, folder):
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise OSError(done.stderr.strip()[:200])


if __name__ == "__main__":
    serve(make)
