"""Cuts a failing script down while it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from fuzz.sequences.script import Deliver, Pair, Script, Step, Write

SECONDS = 30.0


def shrink(script: Script, fails: Callable[[Script], bool], seconds: float = SECONDS) -> Script:
    """A smaller script that fails too: steps are left out, then made simpler, then files made shorter."""
    deadline = time.monotonic() + seconds
    again = True
    while again:
        again = False
        for smaller in _smaller(script):
            if time.monotonic() > deadline:
                return script
            if fails(smaller):
                script, again = smaller, True
                break
    return script


def _smaller(script: Script) -> Iterator[Script]:
    size = len(script.steps)
    width = size // 2
    while width:
        for first in range(size - width, -1, -width):
            yield script.without(first, width)
        width //= 2
    for place, step in enumerate(script.steps):
        for simpler in _simpler(step):
            yield replace(script, steps=(*script.steps[:place], simpler, *script.steps[place + 1 :]))


def _simpler(step: Step) -> Iterator[Step]:
    if isinstance(step, Write):
        for place in range(len(step.changes) if len(step.changes) > 1 else 0):
            yield replace(step, changes=step.changes[:place] + step.changes[place + 1 :])
        if step.kind == "change" and step.manner != "plain":
            yield replace(step, manner="plain")
    elif isinstance(step, Pair):
        yield step.one
        yield step.other
        yield from (replace(step, one=one) for one in _simpler(step.one) if isinstance(one, Deliver))
        yield from (replace(step, other=other) for other in _simpler(step.other) if isinstance(other, Deliver))
    else:
        yield from _simpler_run(step)


def _simpler_run(step: Deliver) -> Iterator[Deliver]:
    plain = {
        "death": None, "force": False, "chunk_bytes": 1 << 20, "duplicates": "last", "backwards": False, "door": "run",
    }  # fmt: skip
    for name, value in plain.items():
        if getattr(step, name) != value and not (name == "door" and (step.during or step.death)):
            yield replace(step, **{name: value})  # type: ignore[arg-type]
    for place in range(len(step.during)):
        yield replace(step, during=step.during[:place] + step.during[place + 1 :])
    if step.file.packed:
        yield replace(step, file=replace(step.file, packed=False))
    lines = step.file.lines
    width = len(lines) // 2
    while width:
        for first in range(0, len(lines), width):
            yield replace(step, file=replace(step.file, lines=lines[:first] + lines[first + width :]))
        width //= 2
    if len(lines) == 1:
        yield replace(step, file=replace(step.file, lines=()))
