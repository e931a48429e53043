"""Functions in which a mutant says nothing of the tests: what they do changes how fast a run is, not what it does.

Short on purpose. A line belongs here only when every change in the function leaves rows, counts and errors the same.
"""

from __future__ import annotations

# (file, function, reason)
EXCLUDED: tuple[tuple[str, str, str], ...] = ()
