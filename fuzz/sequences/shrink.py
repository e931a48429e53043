"""Cuts a failing script down while it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from fuzz.sequences.model import Key
from fuzz.sequences.script import Deliver, File, Pair, Script, Step, Write

SECONDS = 45.0


def shrink(script: Script, fails: Callable[[Script], bool], seconds: float = SECONDS) -> Script:
    """A smaller script that fails too: steps are left out, then keys, then what is special of a step, then lines."""
    deadline = time.monotonic() + seconds
    for _ in range(2):
        for smaller in (_fewer_steps, _fewer_keys, _plainer, _fewer_lines, _fewer_steps):
            script = _while_it_fails(script, smaller, fails, deadline)
    return script


def _while_it_fails(
    script: Script, smaller: Callable[[Script, int], Script | None], fails: Callable[[Script], bool], deadline: float
) -> Script:
    """Try the ways in their order; after one that fails, the same place again, as there is another one there now."""
    place = 0
    while time.monotonic() < deadline:
        candidate = smaller(script, place)
        if candidate is None:
            return script
        if candidate != script and fails(candidate):
            script = candidate
        else:
            place += 1
    return script


def _fewer_steps(script: Script, place: int) -> Script | None:
    """Large parts first: halves, quarters, eighths, single steps; from the end, as what comes after the fault goes."""
    size = len(script.steps)
    for width in (size // 2, size // 4, size // 8, 1):
        if width < 1:
            continue
        starts = range(size - width, -1, -width)
        if place < len(starts):
            return script.without(starts[place], width)
        place -= len(starts)
    return None


def _fewer_keys(script: Script, place: int) -> Script | None:
    """A key less in all files and writes."""
    keys = sorted({key for step in script.steps for key in _keys(step)})
    if place >= len(keys):
        return None
    return replace(script, steps=tuple(_without_key(step, keys[place]) for step in script.steps))


def _keys(step: Step) -> Iterator[Key]:
    if isinstance(step, Pair):
        yield from (*_keys(step.one), *_keys(step.other))
    elif isinstance(step, Write):
        yield from (key for _, key, _ in step.changes)
    else:
        yield from (line.record.key for line in step.file.lines if line.record.key)
        yield from (key for _, write in step.during for key in _keys(write))


def _without_key(step: Step, key: Key) -> Step:
    if isinstance(step, Pair):
        return replace(step, one=_shorter(step.one, key), other=_shorter(step.other, key))
    return _fewer_changes(step, key) if isinstance(step, Write) else _shorter(step, key)


def _fewer_changes(write: Write, key: Key) -> Write:
    return replace(write, changes=tuple(change for change in write.changes if change[1] != key))


def _shorter(step: Deliver, key: Key) -> Deliver:
    lines = tuple(line for line in step.file.lines if line.record.key != key)
    during = tuple((moment, _fewer_changes(write, key)) for moment, write in step.during)
    return replace(step, file=replace(step.file, lines=lines), during=during)


def _plainer(script: Script, place: int) -> Script | None:
    """A step without something special."""
    for number, step in enumerate(script.steps):
        ways = list(_ways(step))
        if place < len(ways):
            return replace(script, steps=(*script.steps[:number], ways[place], *script.steps[number + 1 :]))
        place -= len(ways)
    return None


PLAIN = {
    "death": None, "force": False, "chunk_bytes": 1 << 20, "duplicates": "last", "backwards": False, "during": (),
    "door": "run",
}  # fmt: skip


def _ways(step: Step) -> Iterator[Step]:
    if isinstance(step, Write):
        if step.kind == "change" and step.manner != "plain":
            yield replace(step, manner="plain")
    elif isinstance(step, Pair):
        yield from (step.one, step.other)
        yield from (replace(step, one=one) for one in _ways(step.one) if isinstance(one, Deliver))
        yield from (replace(step, other=other) for other in _ways(step.other) if isinstance(other, Deliver))
    else:
        for name, value in PLAIN.items():
            if getattr(step, name) != value and not (name == "door" and (step.during or step.death)):
                yield replace(step, **{name: value})  # type: ignore[arg-type]
        for place in range(len(step.during) if len(step.during) > 1 else 0):
            yield replace(step, during=step.during[:place] + step.during[place + 1 :])
        if step.file.packed or step.file.newline != "\n":
            yield replace(step, file=File(step.file.lines, step.file.empty))


def _fewer_lines(script: Script, place: int) -> Script | None:
    """A file with some lines less."""
    for number, step in enumerate(script.steps):
        for field in ("file",) if isinstance(step, Deliver) else ("one", "other") if isinstance(step, Pair) else ():
            order = step if isinstance(step, Deliver) else getattr(step, field)
            size = len(order.file.lines)
            cuts = [(at, size // 2) for at in (0, size // 2)] * (size > 3) + [(at, 1) for at in range(size)]
            if place < len(cuts):
                at, width = cuts[place]
                lines = order.file.lines[:at] + order.file.lines[at + width :]
                shorter = replace(order, file=replace(order.file, lines=lines))
                new: Step = shorter if isinstance(step, Deliver) else replace(step, **{field: shorter})  # type: ignore[arg-type]
                return replace(script, steps=(*script.steps[:number], new, *script.steps[number + 1 :]))
            place -= len(cuts)
    return None
