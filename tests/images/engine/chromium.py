"""What Chromium makes of a picture: its frames as they are shown, how long each stays, and how often it plays."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from playwright.sync_api import Browser, Page

_LOOK = """
async ([data, type]) => {
  const decoder = new ImageDecoder({data: Uint8Array.from(atob(data), one => one.charCodeAt(0)), type});
  await decoder.tracks.ready;
  try { await decoder.completed; } catch (error) {}
  const track = decoder.tracks.selectedTrack, frames = [];
  for (let number = 0; number < track.frameCount; number++) {
    let frame;
    try { frame = (await decoder.decode({frameIndex: number})).image; } catch (error) { break; }
    const canvas = new OffscreenCanvas(frame.displayWidth, frame.displayHeight), context = canvas.getContext("2d");
    context.drawImage(frame, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let text = "";
    for (let at = 0; at < pixels.length; at += 32768) text += String.fromCharCode(...pixels.subarray(at, at + 32768));
    frames.push({width: canvas.width, height: canvas.height, duration: frame.duration, pixels: btoa(text)});
    frame.close();
  }
  return {repetitions: String(track.repetitionCount), frames};
}
"""


@dataclass(frozen=True)
class Shown:
    """What is seen: RGBA of each frame, milliseconds of each, and how often all of it plays (0: for ever)."""

    frames: list[npt.NDArray[np.uint8]]
    durations: list[int]
    plays: int


@contextmanager
def decoding_page(browser: Browser) -> Iterator[Page]:
    """A page whose origin may decode pictures; no server is asked."""
    page = browser.new_page()
    page.route("**", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    page.goto("http://localhost:9/")
    yield page
    page.close()


def shown(page: Page, data: bytes, form: str) -> Shown:
    """Decode a file; `form` as in `image/<form>`."""
    found = page.evaluate(_LOOK, [base64.b64encode(data).decode(), f"image/{form}"])
    frames = [
        np.frombuffer(base64.b64decode(one["pixels"]), np.uint8).reshape(one["height"], one["width"], 4)
        for one in found["frames"]
    ]
    durations = [round((one["duration"] or 0) / 1000) for one in found["frames"]]
    plays = 0 if found["repetitions"] == "Infinity" else int(found["repetitions"]) + 1
    return Shown(frames, durations, plays)
