"""Where the engine's time goes: `python -m bench.images.profile [rounds]`, on the benchmark's pictures of each kind.

In one process, with a stopwatch around each step: CPU milliseconds a picture, the median picture. Then the whole in a
child process that makes one after the other, as tasks do it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from bench.images import chain
from bench.images.photos import KINDS, make
from include.bridge import images as _task  # noqa: F401  # as large as a task's process
from include.images.engine import decode, render
from include.images.engine.sandbox import Sandbox
from stack.settings import state_folder

PICTURES, ROUNDS = 4, 3


class Stopwatch:
    """CPU seconds by step of one picture; a step inside another one is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def around(self, function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        """The same function, timed under the name that its arguments and result give it."""

        def timed(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            began = time.process_time()
            result = function(*arguments, **options)
            took = time.process_time() - began
            self.seconds[name(*arguments, **options)] += took - self._inner.pop()
            self._inner[-1] += took
            return result

        return timed


def install(watch: Stopwatch) -> None:
    """Put the stopwatch around the engine's steps."""
    draft = decode.draft

    def draft_and_load(*arguments: Any) -> None:
        draft(*arguments)
        arguments[0].image.load()

    decode.draft = watch.around(draft_and_load, lambda *_: "decode")
    render.open_source = watch.around(render.open_source, lambda *_: "open and look")
    render.resize = watch.around(render.resize, lambda _, size: f"resize to {max(size)}")
    render.encode = watch.around(render.encode, lambda frames, form, *_: f"{form} {max(frames[0].size)}")
    render._placeholder = watch.around(render._placeholder, lambda *_: "placeholder")
    decode.to_srgb = watch.around(decode.to_srgb, lambda *_: "colours")
    decode.upright = watch.around(decode.upright, lambda *_: "turn upright")


def main(rounds: int) -> None:
    """Print a line for each step."""
    recipes = chain.recipes(chain.order(chain.FILES))
    home = state_folder() / "bench" / "images"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = {kind.name: make(home, kind, PICTURES) for kind in KINDS}
        whole = {kind: _whole(pictures, recipes, folder, rounds) for kind, pictures in photos.items()}
        plain = render.render
        for kind, pictures in photos.items():
            steps: dict[str, list[float]] = defaultdict(list)
            for picture in pictures * rounds:
                watch = Stopwatch()
                install(watch)
                watch.around(plain, lambda *_: "the rest: hash, write, glue")(picture, recipes, folder)
                for step, seconds in watch.seconds.items():
                    steps[step].append(seconds)
                _restore()
            _show(kind, steps, whole[kind])


ORIGINALS = {
    (module, name): getattr(module, name)
    for module, names in {decode: ("draft", "to_srgb", "upright"), render: ("open_source", "resize", "encode",
                                                                            "_placeholder")}.items()
    for name in names
}  # fmt: skip


def _restore() -> None:
    for (module, name), function in ORIGINALS.items():
        setattr(module, name, function)


def _whole(pictures: list[Path], recipes: Any, folder: Path, rounds: int) -> float:
    took = []
    with Sandbox(recipes) as sandbox:
        for picture in pictures * rounds:
            began = time.perf_counter()
            sandbox.render(picture, folder)
            took.append(time.perf_counter() - began)
    return median(took)


def _show(kind: str, steps: dict[str, list[float]], whole: float) -> None:
    total = sum(median(values) for values in steps.values())
    print(f"{kind}: {1000 * total:.1f} ms in one process, {1000 * whole:.1f} ms in a child process (Pillow "
          f"{Image.__version__})")  # fmt: skip
    for step, values in sorted(steps.items(), key=lambda item: -median(item[1])):
        print(f"  {step:<28} {1000 * median(values):7.2f} ms  {100 * median(values) / total:4.0f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
