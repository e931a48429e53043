"""What was kept, in words: the figures, the lines that allocated it, and who holds it."""

from __future__ import annotations

import linecache
from itertools import zip_longest

from include.memory.tasks.kept_memory import Kept
from include.memory.watcher.sizes import text

SHOWN_FRAMES = 6


def report(name: str, most_bytes: int, kept: Kept) -> str:
    """Some lines of text, the verdict first."""
    said = [f"{name} kept {text(kept.total_bytes)}, and may keep {text(most_bytes)}.", *_figures(kept)]
    for line, chain in zip_longest(kept.lines, kept.holders):
        said.append(f"{text(line.bytes)} in {_number(line.count, 'block')}, allocated at")
        said += [f"    {frame}  {_source(frame)}".rstrip() for frame in line.frames[:SHOWN_FRAMES]]
        if chain:
            said.append(f"  held by {chain}")
    if kept.types:
        new = (f"{one.newest:,} {one.name} ({one.all:,} in all)" for one in kept.types)
        said.append(f"The newest objects: {', '.join(new)}.")
    return "\n".join(said)


def _figures(kept: Kept) -> list[str]:
    parts = {
        "Python objects": kept.made_bytes,
        "freed meanwhile": -kept.freed_bytes,
        "C libraries": kept.native_bytes,
        "Arrow": kept.arrow_bytes,
        "imports and their libraries, not counted": kept.import_bytes,
    }
    return ["  " + "; ".join(f"{name} {text(size)}" for name, size in parts.items() if size)]


def _source(frame: str) -> str:
    file, _, line = frame.rpartition(":")
    return linecache.getline(file, int(line)).strip()


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
