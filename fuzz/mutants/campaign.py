"""A run over many mutants: what the tests reach, each mutant on its tests, the killers once more on the right code."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.mutants.bench import Bench, benches, import_everything
from fuzz.mutants.excluded import EXCLUDED
from fuzz.mutants.operators import Mutant, mutants_of
from fuzz.mutants.reach import Reach, Sources
from fuzz.mutants.tree import PARTS, ROOT, planted
from fuzz.mutants.trial import Outcome, end_with_parent, run_tests

FOLDER = "include/ingest"
TESTS = ("tests/ingest", "tests/fuzz")
OWN_TEST = "test_mutants.py"  # it tries mutants itself
FIRST = 30  # tests that are collected first: most mutants die of them, and collecting all takes a while


@dataclass
class Tried:
    """What became of a mutant. `ran` are the tests that it passed; `left` is the number of tests that had no time."""

    mutant: Mutant
    killer: str | None = None
    how: str = "survived"
    ran: list[str] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0


@dataclass
class Found:
    """The whole run. `spared` counts excluded mutants by reason; `unsound` are tests that fail on the right code."""

    seed: int
    possible: int = 0
    spared: dict[str, int] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    tests: int = 0

    @property
    def killed(self) -> int:
        """How many mutants a test killed."""
        return sum(one.killer is not None for one in self.tried)


def choose(seed: int, count: int, only: str | None) -> tuple[list[Mutant], Found]:
    """A seeded choice among all mutants that are not excluded. `only` is a pattern for `file:line:column scope`."""
    every = [
        mutant
        for path in sorted((ROOT / FOLDER).rglob("*.py"))
        for mutant in mutants_of(str(path.relative_to(ROOT)), path.read_bytes())
    ]
    found = Found(seed)
    kept = []
    for mutant in every:
        reason = _excluded(mutant)
        if reason:
            found.spared[reason] = found.spared.get(reason, 0) + 1
        elif only is None or re.search(only, f"{mutant.name} {mutant.scope}"):
            kept.append(mutant)
    found.possible = len(kept)
    return random.Random(seed).sample(kept, min(count, len(kept))), found


def _excluded(mutant: Mutant) -> str | None:
    for file, function, reason in EXCLUDED:
        if mutant.file == file and (mutant.scope == function or mutant.scope.startswith(function + ".")):
            return f"{file} {function}: {reason}"
    return None


def run(
    mutants: Sequence[Mutant],
    found: Found,
    *,
    jobs: int,
    test_seconds: float,
    minutes: float,
    reach_file: Path | None,
    say: Callable[[str], None],
) -> None:
    """Try the mutants, `jobs` at a time, and put into `found` what became of them.

    A mutant has `test_seconds` of tests; after `minutes` no other one is begun. `reach_file` keeps what the tests reach
    for another run on the same code and tests.
    """
    import_everything()
    until = time.monotonic() + minutes * 60
    context = multiprocessing.get_context("fork")
    with benches(jobs) as places:
        queue = context.SimpleQueue()
        for place in places:
            queue.put(place.tree)
        # Not multiprocessing.Pool: its workers are daemons, in whose children tests could start no processes.
        with ProcessPoolExecutor(jobs, context, _take_place, (places, queue)) as pool:
            reach = _reach(pool, reach_file, say)
            found.tests = len(reach.seconds)
            sources = Sources(ROOT, FOLDER)
            tasks = [
                (mutant, _ordered(reach, sources, mutant), reach.seconds, test_seconds, until) for mutant in mutants
            ]
            for tried in _each(pool, _try, tasks):
                if tried is not None:
                    found.tried.append(tried)
                    say(_progress(found, len(mutants), tried))
            found.unsound = _control(pool, found, reach)
    for tried in found.tried:
        if tried.killer in found.unsound:
            tried.killer, tried.how = None, f"doubtful: {tried.killer} fails on the right code too"


def try_mutant(bench: Bench, mutant: Mutant, tests: Sequence[str], usual: Mapping[str, float], seconds: float) -> Tried:
    """Run the tests on the mutant, in this order, up to the first that fails; after `seconds` no other one is begun."""
    tried, began, left = Tried(mutant), time.monotonic(), seconds
    file = bench.tree / mutant.file
    with planted(file, mutant.apply(file.read_bytes())):
        for part in filter(None, (tests[:FIRST], tests[FIRST:])):
            if left <= 0:
                tried.left += len(part)
                continue
            outcome = run_tests(bench, _files(part), part, usual, seconds=left)
            left -= outcome.seconds
            tried.ran += outcome.passed
            if outcome.killer:
                tried.killer, tried.how = outcome.killer, outcome.how
                break
            tried.left += len(part) - len(outcome.passed)
    tried.seconds = time.monotonic() - began
    return tried


def _progress(found: Found, count: int, tried: Tried) -> str:
    fate = f"killed ({tried.how})" if tried.killer else "SURVIVED"
    share = 100 * found.killed / len(found.tried)
    return (
        f"{len(found.tried)}/{count} {share:.1f} % {tried.seconds:5.1f} s {fate:16}"
        f" {tried.mutant.name} {tried.mutant.change}"
    )


# -- in the workers ---------------------------------------------------------------------------------------------------

_place: list[Bench] = []


def _take_place(places: Sequence[Bench], queue: multiprocessing.SimpleQueue[Path]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    tree = queue.get()
    _place[:] = [place for place in places if place.tree == tree]


def _reach_file_tests(task: tuple[str, Path]) -> Outcome:
    file, folder = task
    return run_tests(_place[0], [file], None, {}, reach=folder)


def _try(task: tuple[Mutant, list[str], dict[str, float], float, float]) -> Tried | None:
    mutant, tests, usual, seconds, until = task
    return try_mutant(_place[0], mutant, tests, usual, seconds) if time.monotonic() < until else None


def _check_killers(task: tuple[list[str], dict[str, float]]) -> list[str]:
    tests, usual = task
    failed = []
    while tests:
        outcome = run_tests(_place[0], _files(tests), tests, usual)
        if outcome.killer is None:
            break
        failed.append(outcome.killer)
        if outcome.killer not in tests:
            break
        tests = tests[tests.index(outcome.killer) + 1 :]
    return failed


def _files(tests: Iterable[str]) -> list[str]:
    return sorted({test.partition("::")[0] for test in tests})


# -- in the parent ----------------------------------------------------------------------------------------------------


def _ordered(reach: Reach, sources: Sources, mutant: Mutant) -> list[str]:
    """The tests that reach the line: those named after its module first, and the quick before the slow."""
    path = Path(mutant.file)
    named = tuple(f"/test_{name}" for name in (path.stem, path.parent.name) if name not in ("__init__", "ingest"))
    reached = reach.tests(sources, mutant.file, mutant.line) & reach.seconds.keys()
    return sorted(reached, key=lambda test: (not any(map(test.__contains__, named)), reach.seconds[test], test))


def _each(pool: ProcessPoolExecutor, do: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    """What comes of the tasks, as it comes."""
    begun = [pool.submit(do, task) for task in tasks]
    try:
        for done in as_completed(begun):
            yield done.result()
    finally:
        for left in begun:  # after a fault or Ctrl-C
            left.cancel()


def _reach(pool: ProcessPoolExecutor, keep: Path | None, say: Callable[[str], None]) -> Reach:
    digest = _digest()
    if keep is not None and keep.exists():
        kept = json.loads(keep.read_text())
        if kept["digest"] == digest:
            lines = {(file, line): set(tests) for file, line, tests in kept["lines"]}
            return Reach(lines, {name: set(tests) for name, tests in kept["files"].items()}, kept["seconds"])
    reach = Reach()
    with tempfile.TemporaryDirectory(prefix="millrace-reach-") as scratch:
        folder = Path(scratch)
        files = [
            str(path.relative_to(ROOT))
            for part in TESTS
            for path in sorted((ROOT / part).rglob("test_*.py"))
            if path.name != OWN_TEST
        ]
        say(f"what do the tests of {len(files)} files reach?")
        for outcome in _each(pool, _reach_file_tests, [(file, folder) for file in files]):
            failed = sorted({*outcome.failed, *([outcome.killer] if outcome.killer else [])})
            if failed:
                named = ", ".join(failed)
                say(f"left out, as it fails on the right code: {named} ({outcome.how})\n{outcome.log[-1500:]}")
            reach.seconds.update({test: taken for test, taken in outcome.passed.items() if test not in failed})
        reach.add(folder, FOLDER)
    say(f"{len(reach.seconds)} tests reach {len(reach.lines)} lines")
    if keep is not None:
        lines_of = [[file, line, sorted(tests)] for (file, line), tests in sorted(reach.lines.items())]
        files_of = {name: sorted(tests) for name, tests in reach.files.items()}
        keep.write_text(json.dumps({"digest": digest, "lines": lines_of, "files": files_of, "seconds": reach.seconds}))
    return reach


def _digest() -> str:
    """Of the code and the tests that `reach` is true for."""
    digest = hashlib.sha256(sys.version.encode())
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            if part not in ("dags", "fuzz"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _control(pool: ProcessPoolExecutor, found: Found, reach: Reach) -> list[str]:
    """The killers that fail on the right code too, after all that the mutants may have left behind."""
    killers = sorted({tried.killer for tried in found.tried if tried.killer in reach.seconds})
    halves = [(part, reach.seconds) for part in (killers[::2], killers[1::2]) if part]
    return [name for failed in _each(pool, _check_killers, halves) for name in failed]
