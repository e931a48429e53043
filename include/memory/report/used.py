"""Which figure is the memory of a process: its unique pages, or its anonymous ones where it forks.

While a process has a child, nearly all its pages are shared with that child, and none of them counts as unique: a curve
of the unique ones would fall and rise with each task. The judge follows the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable

from include.memory.watcher.sample import FORKS

UNIQUE = "COALESCE(s.unique_bytes, s.anonymous_bytes) + s.swap_bytes"
ANONYMOUS = "s.anonymous_bytes + s.swap_bytes"
# Its host had the process no more after that look: told by the watcher's child, as it takes minutes to be missed.
GONE = (
    "EXISTS (SELECT FROM millrace.memory_ended e WHERE (e.host, e.pid, e.start_ticks) = (s.host, s.pid, s.start_ticks)"
    " AND e.ended_at >= s.taken_at)"
)
SHARE = f"({UNIQUE}) / greatest({ANONYMOUS}, 1)::double precision"


def forks(lowest: Iterable[float | None], highest: Iterable[float | None]) -> bool:
    """Whether a process forks, by the lowest and highest share of unique memory in stretches of its life."""
    low = min((share for share in lowest if share is not None), default=1.0)
    return low < FORKS * max((share for share in highest if share is not None), default=1.0)
