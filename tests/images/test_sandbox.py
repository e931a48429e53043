"""A picture that loops, eats memory or crashes its decoder harms its own child only."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.images.engine import render as render_module
from include.images.engine import sandbox
from include.images.engine.sandbox import Sandbox
from include.images.errors import Killed, Rejected
from include.images.limits import LIMITS
from include.images.recipes import load_recipes
from tests.images import pictures
from tests.images.safely import render_safely


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, behave: Any, **limits: Any) -> None:
    """Render with `behave` in place of the real work."""
    monkeypatch.setattr(sandbox, "render", lambda *_: behave())
    render_safely(folder / "source", load_recipes(), folder, replace(LIMITS, **limits))


def test_a_good_picture_comes_back_whole(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(pictures.encoded(pictures.photo()))
    found = render_safely(tmp_path / "source", load_recipes(), tmp_path)
    assert {part.file for part in found.renditions} == {
        f"{name}.{suffix}" for name in ("large", "medium", "thumb") for suffix in ("jpg", "webp")
    }
    assert found.placeholder.startswith("data:image/webp;base64,")
    assert len(found.placeholder) < 600


def test_a_bad_one_says_why(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"nothing of the kind")
    with pytest.raises(Rejected, match="unsupported file type: expected JPEG"):
        render_safely(tmp_path / "source", load_recipes(), tmp_path)


def test_the_clock_ends_a_sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with pytest.raises(Killed) as caught:
        run(tmp_path, monkeypatch, lambda: time.sleep(60), wall_seconds=0.5)
    assert caught.value.code == "timeout"
    assert time.monotonic() - began < 5


def test_the_kernel_ends_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loop() -> None:
        while True:
            pass

    with pytest.raises(Killed) as caught:
        run(tmp_path, monkeypatch, loop, cpu_seconds=1)
    assert caught.value.code == "timeout"


def test_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Killed) as caught:
        run(tmp_path, monkeypatch, lambda: bytearray(300 << 20), memory_bytes=200 << 20)
    assert caught.value.code == "memory"


def test_a_crash_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Killed, match="died") as caught:
        run(tmp_path, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert caught.value.code == "killed"


def children() -> set[int]:
    """The processes that this one has started, ended ones that nobody waited for among them."""
    return {child.pid for child in psutil.Process().children()}


def test_no_child_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    with pytest.raises(Killed):
        run(tmp_path, monkeypatch, lambda: time.sleep(60), wall_seconds=0.2)
    assert children() == before


def test_one_child_goes_on_and_a_dead_one_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(pictures.encoded(pictures.photo()))
    bad.write_bytes(b"nothing of the kind")
    real = render_module.render

    def render(path: Path, *rest: Any) -> Any:
        if path.name == "killer":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(path, *rest)

    monkeypatch.setattr(sandbox, "render", render)
    with Sandbox(load_recipes()) as here:
        first = here.render(good, tmp_path)
        (child,) = children() - before
        with pytest.raises(Rejected):
            here.render(bad, tmp_path)
        assert here.render(good, tmp_path) == first
        assert children() - before == {child}
        with pytest.raises(Killed):
            here.render(tmp_path / "killer", tmp_path)
        assert here.render(good, tmp_path) == first
        assert children() - before != {child}
    assert children() == before


def test_a_child_is_replaced_after_so_many_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PICTURES", 2)
    (tmp_path / "source").write_bytes(pictures.encoded(pictures.photo()))
    before, seen = children(), set()
    with Sandbox(load_recipes()) as here:
        for _ in range(5):
            here.render(tmp_path / "source", tmp_path)
            seen |= children() - before
    assert len(seen) >= 2


def test_each_picture_has_its_own_cpu_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = render_module.render

    def render(*arguments: Any) -> Any:
        end = time.process_time() + 0.7
        while time.process_time() < end:
            pass
        return real(*arguments)

    monkeypatch.setattr(sandbox, "render", render)
    (tmp_path / "source").write_bytes(pictures.encoded(pictures.photo()))
    with Sandbox(load_recipes(), replace(LIMITS, cpu_seconds=2)) as here:
        for _ in range(4):
            here.render(tmp_path / "source", tmp_path)
