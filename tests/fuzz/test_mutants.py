"""The mutation run: a fault that a test holds is found, and one that changes nothing survives."""

from __future__ import annotations

from pathlib import Path

import pytest

import include.ingest.run  # noqa: F401  what it imports need not be imported in each child
from fuzz.mutants import trial
from fuzz.mutants.bench import Bench
from fuzz.mutants.campaign import try_mutant
from fuzz.mutants.operators import Mutant, mutants_of
from fuzz.mutants.reach import Reach, Sources
from fuzz.mutants.tree import ROOT, copy_tree, planted
from fuzz.mutants.trial import run_tests
from stack.postgres import PostgresServer

SCAN = "include/ingest/csv/scan.py"
TESTS = "tests/ingest/reading/test_records.py::test_chunks_are_of_one_size_and_fill_the_lanes"
TEXT = '''
"""Some > text."""
SIZE = 8 << 20

def some(a: int, names: list[str] | None = None) -> bool:
    """Whether 1 < 2."""
    log.info("a = %s", a + 1)
    if a < 10 and not names:
        keep(a)
        raise ValueError("a > 10" + str(a))
    return a == 1
'''
CHANGES = {
    "< -> <=",
    "and -> or",
    "and not names -> ",
    "10 -> 11",
    "not names -> (names)",
    "keep(a) -> pass",
    'raise ValueError("a > 10" + str(a)) -> pass',
    "a == 1 -> None",
    "== -> !=",
    "1 -> 2",
}
QUERY = "q = 'SELECT 1 FROM t WHERE a <= b AND c IS NULL'\nhint = 'say a <= b AND c'\n"


@pytest.fixture
def bench(tmp_path: Path, postgres: PostgresServer, template: str) -> Bench:
    copy_tree(ROOT, tmp_path / "tree")
    return Bench(tmp_path / "tree", tmp_path / "scratch", postgres, 1)


def test_what_counts_is_changed_and_what_is_for_people_is_not() -> None:
    found = mutants_of("some.py", TEXT.encode())
    assert {" -> ".join((mutant.before.removeprefix(" "), mutant.text)) for mutant in found} == CHANGES
    assert {mutant.scope for mutant in found} == {"some"}
    changed = [mutant.apply(QUERY.encode()).decode() for mutant in mutants_of("q.py", QUERY.encode())]
    assert changed == [QUERY.replace(old, new, 1) for old, new in (("<=", "<"), ("AND", "OR"), ("NULL", "NOT NULL"))]


def test_a_fault_dies_of_its_test_and_the_same_in_other_words_survives(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (ROOT / SCAN).read_bytes()
    (tmp_path / "reach").mkdir()
    right = run_tests(bench, [TESTS], None, {}, reach=tmp_path / "reach")
    assert (right.how, len(right.passed)) == ("passed", 4), right.log
    reach = Reach(seconds=right.passed)
    reach.add(tmp_path / "reach", "include/ingest")
    place = source.index(b"count > 1")
    line = source.count(b"\n", 0, place) + 1
    tests = sorted(reach.tests(Sources(ROOT, "include/ingest"), SCAN, line))
    assert tests == sorted(right.passed)
    monkeypatch.setattr(trial, "GRACE_SECONDS", 6.0)
    fates = {}
    for text in ("count >= 1", "count >= 2", "exec('while True: pass')", "__import__('os')._exit(0)"):
        mutant = Mutant(SCAN, line, 1, "step_for", place, place + len(b"count > 1"), "count > 1", text)
        tried = try_mutant(bench, mutant, tests, {test: 0.0 for test in tests}, 60)
        fates[text] = tried.how
        assert (tried.killer is None) == (sorted(tried.ran) == tests)
    assert list(fates.values()) == ["failed", "survived", "hung", "died"]
    assert (bench.tree / SCAN).read_bytes() == source == (ROOT / SCAN).read_bytes()


def test_what_was_compiled_of_a_file_stands_again_after_the_fault(tmp_path: Path) -> None:
    file, cache = tmp_path / "some.py", tmp_path / "__pycache__"
    cache.mkdir()
    file.write_text("right")
    (cache / "some.cpython-311.pyc").write_text("compiled")
    (cache / "something.cpython-311.pyc").write_text("another's")
    before = file.stat().st_mtime_ns
    with planted(file, b"wrong"):
        assert [path.name for path in cache.iterdir()] == ["something.cpython-311.pyc"]
        (cache / "some.walk-7.py311.nbi").write_text("of the fault")
    assert file.read_text() == "right"
    assert file.stat().st_mtime_ns == before
    assert sorted(path.name for path in cache.iterdir()) == ["some.cpython-311.pyc", "something.cpython-311.pyc"]
