"""What is taken from inside CPython, each alone: where a new Python differs, this says what to look at.

Python promises nothing of it, so these are to be run by each Python that is supported.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.memory.inside import cpython, traces

FREE_LISTS = 300  # more than Python keeps of a type for use again: those have no trace of their own
LOOK = f"Python {sys.version.split()[0]} differs: see include/memory/inside/cpython.py"


class Plain:
    def __init__(self) -> None:
        self.number = 1


class Slotted:
    __slots__ = ("number",)


class Derived(dict[str, int]):
    pass


MAKERS: dict[str, Callable[[], Any]] = {
    "a plain class": Plain, "slots": Slotted, "a class derived from dict": Derived, "an exception": ValueError,
    "a list": lambda: [None], "a dict": lambda: {"a": 1}, "a set": lambda: {1.5}, "a function": lambda: lambda: 1,
    "text": lambda: "x" * int("300"), "bytes": lambda: bytes(300), "a class": lambda: type("Made", (), {}),
}  # fmt: skip


@pytest.fixture
def traced() -> Iterator[None]:
    traces_of = traces.Tracing()
    traces_of.begin()
    yield
    traces_of.end()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("kind", MAKERS)
def test_where_an_object_was_allocated_is_found(kind: str) -> None:
    *_, one = [MAKERS[kind]() for _ in range(FREE_LISTS)]
    frames = cpython.allocated_at(one)
    assert frames is not None, f"{LOOK}, allocated_at: the block of {kind} begins elsewhere"
    assert Path(__file__).name in {Path(file).name for file, _ in frames}, f"{LOOK}, allocated_at: {frames}"


def test_an_object_from_before_is_not_mistaken_for_one_that_was_traced() -> None:
    before = [make() for make in MAKERS.values()]
    tracemalloc.start()
    try:
        assert [cpython.allocated_at(one) for one in before] == [None] * len(before), f"{LOOK}, allocated_at"
    finally:
        tracemalloc.stop()


def test_an_import_is_told_by_its_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "millrace_probe.py").write_text(
        "import sys\nfrom include.memory.inside import cpython as c\nSEEN = not c.IMPORTING.isdisjoint(c.stack())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import millrace_probe  # type: ignore[import-not-found]

    assert millrace_probe.SEEN, f"{LOOK}, IMPORTING: no _find_and_load on the stack of an import"
    assert cpython.IMPORTING.isdisjoint(cpython.stack()), f"{LOOK}, IMPORTING: also outside of imports"


@pytest.mark.usefixtures("traced")
def test_a_trace_is_domain_size_and_frames() -> None:
    size = 123_457
    one = bytes(size)
    domain, found, frames, *_ = max(cpython.all_traces(), key=lambda trace: trace[1] if trace[1] < 2 * size else 0)
    assert (domain, found >= size) == (0, True), f"{LOOK}, all_traces"
    assert any(Path(file).name == Path(__file__).name for file, _ in frames), f"{LOOK}, all_traces"
    assert len(one) == size
