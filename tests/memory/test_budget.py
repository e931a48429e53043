"""Budgets: what counts as kept, to the byte; what does not trip one; and that the report names line and holder."""

from __future__ import annotations

import ctypes
import inspect
import random
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from include.memory.errors import BadSize, MemoryAuditError, MemoryBudgetExceeded
from include.memory.tasks import allocation_holders
from include.memory.tasks.budget import memory_budget
from include.memory.tasks.kept_memory import Kept
from include.memory.watcher import sizes

pytestmark = pytest.mark.own_process

CACHE: dict[int, bytes] = {}
ORDERS: list[Any] = []


class Order:
    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = [number, number + 1]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for bound in ("SEARCH_SECONDS", "CHAIN_SECONDS"):  # the process of many tests is large, the machine busy
        monkeypatch.setattr(allocation_holders, bound, 300.0)
    yield
    CACHE.clear()
    ORDERS.clear()
    assert not tracemalloc.is_tracing()


def exceeded(size: int | str, function: Any, *arguments: Any, warm: int = 0) -> MemoryBudgetExceeded:
    with pytest.raises(MemoryBudgetExceeded) as found:
        memory_budget(size, warm=warm)(function)(*arguments)
    return found.value


def figures(found: MemoryBudgetExceeded) -> Kept:
    assert isinstance(found.kept, Kept)
    return found.kept


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0), (1_000, 1_000), ("20 MB", 20_000_000), ("512 kB", 512_000), ("1.5 GiB", 1_610_612_736), ("7B", 7),
        (" 3 mib ", 3_145_728), ("0.25 TB", 250_000_000_000),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(written: int | str, size: int) -> None:
    assert sizes.parse(written) == size


@pytest.mark.parametrize(
    "written", ["", "20", "MB", "-1 MB", "20 M", "1,5 GB", "ten MB", "20 MB 3", -1, True, 1.5, None]
)
def test_nonsense_is_no_size(written: Any) -> None:
    with pytest.raises(BadSize, match="write a number of bytes"):
        memory_budget(written)


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (31_457_280, "31.5 MB"), (5_000_000_000, "5 GB"), (-2_000, "-2 kB")],
)
def test_sizes_for_people(size: int, said: str) -> None:
    assert sizes.text(size) == said


def test_what_is_kept_is_known_to_the_byte() -> None:
    CACHE.update(dict.fromkeys(range(10), b""))  # its table is large enough

    def keep() -> None:
        CACHE[3] = bytes(9_000)

    size = sys.getsizeof(bytes(9_000))
    memory_budget(size)(keep)()
    assert figures(exceeded(size - 1, keep)).made_bytes == size


def test_what_comes_and_goes_is_not_kept() -> None:
    @memory_budget(0)
    def work() -> None:
        taken = [bytearray(random.randrange(1, 40_000)) for _ in range(1_000)]
        cycle: list[Any] = [Order(number) for number in range(10_000)]
        cycle.append(cycle)
        del taken

    for _ in range(3):
        work()


def test_the_report_names_figures_line_type_and_holder() -> None:
    def orders() -> None:
        for number in range(5_000):
            ORDERS.append(Order(number))

    said = str(exceeded("100 kB", orders)).splitlines()
    assert "orders kept 1." in said[0]
    assert said[0].endswith("MB, and may keep 100 kB.")
    line = inspect.getsourcelines(orders)[1] + 2
    assert any(f"test_budget.py:{line}  ORDERS.append(Order(number))" in text for text in said)
    assert any("held by module" in text and ".ORDERS list of 5,000 → [" in text for text in said)
    assert any("The newest objects:" in text and "test_budget.Order (5,000 in all)" in text for text in said)


def test_one_large_value_in_a_dict_is_found_too() -> None:
    def load() -> None:
        for number in range(300):
            CACHE[number] = bytes(10_000)

    assert ".CACHE dict of 300 → [" in str(exceeded("1 MB", load))


def test_a_block_is_measured_and_its_own_variables_are_named() -> None:
    def work() -> None:
        with memory_budget("10 kB"):
            rows = [Order(number) for number in range(3_000)]
            assert rows

    with pytest.raises(MemoryBudgetExceeded, match=r"held by local variable rows of .*work") as found:
        work()
    assert str(found.value).startswith("The block kept")
    with memory_budget("1 MB") as budget:
        ORDERS.append(bytes(5_000))
    assert budget.kept
    assert 5_000 < budget.kept.total_bytes < 20_000


def test_memory_of_c_libraries_counts_without_a_line() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.argtypes = (ctypes.c_void_p,)
    given: list[int] = []

    def native() -> None:
        given.extend(libc.malloc(10_000) for _ in range(500))

    found = figures(exceeded("4 MB", native))
    assert 5_000_000 <= found.native_bytes < 5_200_000
    for address in given:
        libc.free(address)


def test_arrays_of_numpy_and_of_arrow_count() -> None:
    found = figures(exceeded("7 MB", lambda: ORDERS.append(np.ones(1_000_000))))
    assert found.made_bytes == pytest.approx(8e6, rel=0.01)
    assert found.native_bytes == 0
    numbers = pa.array(np.arange(1_000_000))
    found = figures(exceeded("3 MB", lambda: ORDERS.append(pa.concat_arrays([numbers, numbers]))))
    assert found.arrow_bytes == pytest.approx(16e6, rel=0.01)


@pytest.mark.parametrize("make", [lambda: bytes(5_000_000), lambda: [Order(number) for number in range(8_000)]])
def test_what_takes_the_place_of_something_else_is_not_kept(make: Any) -> None:
    def replace() -> None:
        ORDERS[:] = [make()]

    exceeded("1 MB", replace)
    memory_budget("1 MB")(replace)()


def test_imports_do_not_count() -> None:
    def work() -> None:
        for name in ("xml.dom.minidom", "xml.dom.expatbuilder"):
            sys.modules.pop(name, None)
        import xml.dom.minidom

        xml.dom.minidom.parseString("<a/>")

    with memory_budget("20 kB") as budget:
        work()
    assert budget.kept
    assert budget.kept.import_bytes > 100_000


def test_a_warm_run_fills_what_is_filled_once() -> None:
    calls: list[int] = []

    def work(number: int) -> None:
        calls.append(number)
        if not CACHE:
            CACHE[0] = bytes(1_000_000)

    exceeded("10 kB", work, 7)
    CACHE.clear()
    memory_budget("10 kB", warm=1)(work)(7)
    assert calls == [7, 7, 7]


def test_a_function_keeps_its_name_signature_and_result() -> None:
    @memory_budget("1 MB")
    def add(left: int, *, right: int = 2) -> int:
        """Add."""
        return left + right

    assert add(1, right=4) == 5
    assert add.__name__ == "add"
    assert add.__doc__ == "Add."
    assert str(inspect.signature(add)) == "(left: 'int', *, right: 'int' = 2) -> 'int'"


def test_work_that_fails_raises_its_own_error() -> None:
    @memory_budget(0)
    def work() -> None:
        ORDERS.append(bytes(1_000_000))
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        work()


def test_work_after_the_return_is_refused() -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="put a `with` inside it"):
        memory_budget("1 MB")(rows)


def test_budgets_stand_within_each_other_and_beside_the_programs_own_tracing() -> None:
    def keep(size: int) -> None:
        ORDERS.append(bytes(size))

    inner = memory_budget("200 kB")(keep)
    outer = memory_budget("150 kB")(lambda: [inner(100_000) for _ in range(2)] and None)
    with pytest.raises(MemoryBudgetExceeded, match="lambda"):
        outer()
    tracemalloc.start(3)
    try:
        ORDERS.append(bytes(1_000_000))
        inner(100_000)
        exceeded("50 kB", keep, 100_000)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_a_tracing_that_somebody_stops_is_said() -> None:
    with pytest.warns(RuntimeWarning, match="could not be measured"):
        memory_budget("1 MB")(tracemalloc.stop)()


def test_its_errors_are_of_this_domain() -> None:
    assert issubclass(MemoryBudgetExceeded, MemoryAuditError)
    assert issubclass(BadSize, ValueError)


TESTS = """
import pytest
KEPT, CALLS = [], []

@pytest.fixture
def rows():
    KEPT.append(bytes(3_000_000))  # a fixture's own
    return 500_000

@pytest.mark.memory_budget("1 MB")
def test_within(rows):
    KEPT.append(bytes(rows))

@pytest.mark.memory_budget("100 kB")
def test_over(rows):
    KEPT.append(bytes(rows))

@pytest.mark.memory_budget("100 kB", warm=1)
def test_warm(rows):
    if not CALLS:
        KEPT.append(bytes(rows))
    CALLS.append(rows)

@pytest.mark.memory_budget("a lot")
def test_nonsense():
    pass

@pytest.mark.memory_budget("1 MB")
@pytest.mark.parametrize("number", [1])
class TestClass:
    def test_method(self, number):
        assert number == 2
"""


def test_the_marker_fails_a_test_with_the_report(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest('pytest_plugins = ["include.memory.tasks.pytest_plugin"]')
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makepyfile(TESTS)
    # Without a plugin that keeps some of its own between the tests.
    done = pytester.runpytest_subprocess("--strict-markers", "-rA", "-p", "no:schemathesis")
    done.assert_outcomes(passed=2, failed=3)
    done.stdout.fnmatch_lines(["PASSED *test_within", "PASSED *test_warm", "FAILED *test_over *"])
    done.stdout.fnmatch_lines(
        ["test_over kept 500 kB, and may keep 100 kB.", "*KEPT.append(bytes(rows))", "*.KEPT list*"]
    )
    done.stdout.fnmatch_lines(["*BadSize: 'a lot' is not a size*"])
    done.stdout.fnmatch_lines(["*assert 1 == 2"])
    shown = pytester.runpytest_subprocess("--markers")
    shown.stdout.fnmatch_lines(["@pytest.mark.memory_budget(size, warm=0): what the test may keep, such as '20 MB'"])
