"""pytest: `@pytest.mark.memory_budget("20 MB")` fails a test that keeps more than that, with the report of what.

The marker takes what `memory_budget` takes. What counts is the test function itself, not its fixtures; `warm=1` runs
the function once before, with the same fixtures. A project's top `conftest.py` enables it:

    pytest_plugins = ["include.memory.tasks.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from include.memory.errors import MemoryBudgetExceeded
from include.memory.tasks.budget import memory_budget

MARKER = "memory_budget"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"{MARKER}(size, warm=0): what the test may keep, such as '20 MB'")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Call the test within its budget."""
    marker = pyfuncitem.get_closest_marker(MARKER)
    if marker is None:
        return (yield)
    budget = memory_budget(*marker.args, **{"name": pyfuncitem.name, **marker.kwargs})
    for _ in range(budget.warm):
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
    try:
        with budget:
            return (yield)
    except MemoryBudgetExceeded as exceeded:
        pytest.fail(str(exceeded), pytrace=False)
