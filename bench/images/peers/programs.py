"""Command lines: vipsthumbnail, one call a rendition and format, and ImageMagick, one call a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 100.0


def vipsthumbnail(program: str, picture: str, folder: str, order: dict[str, Any]) -> list[list[str]]:
    """It takes one output format a call."""
    calls = []
    for one in order["renditions"]:
        mode = "off" if one["full_chroma"] else "on"
        endings = {
            "jpeg": f"jpg[Q={order['jpeg']},interlace,optimize_coding,subsample_mode={mode},strip]",
            "webp": f"webp[Q={order['webp']},effort={order['effort']},strip]",
            "png": "png[compression=1,strip]",
        }
        size = f"{one['side']}x{one['side']}>"
        calls += [
            [program, picture, "--size", size, "-o", f"{folder}/{one['name']}.{endings[form]}"]
            for form in order["forms"]
        ]
    return calls


def imagemagick(program: str, picture: str, folder: str, order: dict[str, Any]) -> list[list[str]]:
    """Its JPEG reader is told to scale to twice what is wanted; each smaller one comes from the one before."""
    largest = order["renditions"][0]["side"]
    size = f"jpeg:size={2 * largest}x{2 * largest}"
    words = [program, "-limit", "thread", "1", "-define", size, picture, "-auto-orient", "-strip"]
    for one in order["renditions"]:
        words += ["-filter", "Lanczos", "-resize", f"{one['side']}x{one['side']}>"]
        chroma = "4:4:4" if one["full_chroma"] else "4:2:0"
        options = {
            "jpeg": ["-quality", str(order["jpeg"]), "-interlace", "JPEG", "-sampling-factor", chroma],
            "webp": ["-quality", str(order["webp"]), "-define", f"webp:method={order['effort']}"],
            "png": ["-quality", "15"],
        }
        for form in order["forms"]:
            words += [*options[form], "-write", f"{folder}/{one['name']}.{'jpg' if form == 'jpeg' else form}"]
    return [[*words, "null:"]]


def main() -> None:
    """Answer each line."""
    kind, program, order = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    calls = {"vipsthumbnail": vipsthumbnail, "imagemagick": imagemagick}[kind]
    print("ready", flush=True)
    for line in sys.stdin:
        picture, folder = line.rstrip("\n").split("\t")
        for command in calls(program, picture, folder, order):
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                print(f"fault {picture}: {done.stderr.strip()[:200]}".replace("\n", " "), flush=True)
                break
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main()
