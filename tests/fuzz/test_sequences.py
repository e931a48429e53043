"""The judge of sequences: the first seeds agree, and it notices what it is there to notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fuzz.sequences import Sequences, open_judge
from fuzz.sequences.model import Account, Failed, Record, Run, Table
from fuzz.sequences.script import Deliver, File, Line, Pair, Script, Write
from fuzz.sequences.shapes import Shape
from fuzz.sequences.shrink import shrink
from fuzz.sequences.writer import LEAST_STEPS, write_script
from include.ingest import merge
from include.ingest.keys import already_loaded, known_records
from include.ingest.table import row_writers, staging
from stack.postgres import PostgresServer

ITEMS = Shape("bigint", "upsert")
SEEDS = [*range(1, 9), 488]  # the last one was wrong once


@pytest.fixture(scope="module")
def judge(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequences]:
    if not postgres.running():
        postgres.start()
    judge = open_judge(postgres.dsn(), tmp_path_factory.mktemp("sequences"))
    yield judge
    judge.close()


def file(*rows: tuple[str, str], bad: int = 0) -> File:
    lines = [Line((key, label, "1.00"), Record((key,), (label, "1.00"))) for key, label in rows]
    lines += [Line(("99", "bad", "much"), Record(("99",), (), bad=True))] * bad
    return File(tuple(lines))


def deliver(name: str, version: int, what: File, **options: Any) -> Deliver:
    return Deliver(what, name, version, f"file_{name}", **options)


def update(label: str, manner: str = "plain", kind: str = "change") -> Write:
    return Write(kind, (("update", ("1",), (label, "1.00")),), manner)


DAY_1, DAY_2, DAY_3 = (file(("1", "one"), ("2", label)) for label in ("two", "deux", "zwei"))
OPEN = Write("open", manner="savepoint")
SAVEPOINT = (
    deliver("a", 1, DAY_1), OPEN, deliver("b", 2, DAY_2), update("theirs", kind="finish"), deliver("c", 3, DAY_3),
)  # fmt: skip
DURING = (
    deliver("a", 1, DAY_1),
    deliver("b", 2, DAY_2, door="steps", during=(("planned", update("theirs", "plpgsql")),)),
)
OLDER = (deliver("a", 1, DAY_1), deliver("b", 3, DAY_1), deliver("c", 2, DAY_2))
AGAIN = (deliver("a", 1, DAY_1), update("theirs", "savepoint"), deliver("b", 2, DAY_1))


def play(judge: Sequences, *steps: Any, shape: Shape = ITEMS) -> str | None:
    return judge.player.play(Script((shape,), steps))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_seeds_agree(judge: Sequences, seed: int) -> None:
    checked = judge.check(seed)
    assert (checked.cases, [one.case for one in checked.differences]) == (1, [])


def test_a_seed_always_makes_the_same_script_and_half_of_them_have_others() -> None:
    scripts = [write_script(seed) for seed in range(200)]
    assert scripts == [write_script(seed) for seed in range(200)]
    assert all(len(script.steps) >= LEAST_STEPS for script in scripts)
    assert sum(script.others for script in scripts) >= 100
    # Who says so also does it.
    assert all(script.others == any("others:" in str(step) for step in script.steps) for script in scripts)


@pytest.mark.parametrize("steps", [SAVEPOINT, DURING, OLDER, AGAIN])
def test_what_the_planted_faults_are_found_with_agrees_without_them(judge: Sequences, steps: tuple[Any, ...]) -> None:
    assert play(judge, *steps) is None


def always(*_: object) -> bool:
    return True


PLANTED = [
    (
        [(row_writers, "_RUNS", row_writers._RUNS.replace("pg_snapshot_xmin(seen)", "pg_snapshot_xmax(seen)"))],
        SAVEPOINT,
    ),
    ([(known_records, "is_untouched", always), (merge, "is_untouched", always)], SAVEPOINT),
    ([(merge, "is_untouched", always)], DURING),
    ([(merge, "withdraw_confirmed", lambda *_: 0)], OLDER),
    ([(already_loaded, "_is_intact", always)], AGAIN),
    ([(staging, "drop", lambda *_: None)], (deliver("a", 1, DAY_1),)),
]


@pytest.mark.parametrize(("changes", "steps"), PLANTED)
def test_a_planted_fault_is_found(
    judge: Sequences, monkeypatch: pytest.MonkeyPatch, changes: list[tuple[Any, str, Any]], steps: tuple[Any, ...]
) -> None:
    for module, name, value in changes:
        monkeypatch.setattr(module, name, value)
    assert play(judge, *steps) is not None


def test_an_error_that_is_none_of_the_ingest_is_a_difference(judge: Sequences, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bool:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(already_loaded, "is_in", fails)
    for door in ("run", "steps"):
        found = play(judge, *(deliver(name, 1, DAY_1, door=door) for name in "ab"))
        assert found is not None
        assert "ZeroDivisionError: a defect" in found


@pytest.mark.parametrize("how", ["statement", "again", "terminated", "killed", "replanned"])
@pytest.mark.parametrize("step", ["plan", "load", "merge"])
def test_a_step_that_dies_and_is_tried_again_ends_the_same(judge: Sequences, step: str, how: str) -> None:
    second = deliver("b", 2, DAY_2, door="steps", chunk_bytes=1, death=(step, how, 12))
    assert play(judge, deliver("a", 1, DAY_1), second) is None


def test_a_run_is_refused_for_the_table_as_it_is_then(judge: Sequences) -> None:
    """Its rows would be too many to delete, and no longer are once the other run has deleted some."""
    names = [(str(number), "x") for number in range(5)]
    both = Pair(deliver("b", 5, file(*names[:3])), deliver("c", 5, file(*names[:2])))
    assert play(judge, deliver("a", 1, file(*names)), both, shape=Shape("bigint", "replace")) is None


def test_a_failing_script_is_cut_down(judge: Sequences, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "withdraw_confirmed", lambda *_: 0)
    noise = (Write("analyze"), Write("freeze"), deliver("x", 1, file(("7", "seven"))))
    steps = (*noise, OLDER[0], *noise[:2], replace(OLDER[1], duplicates="last"), *noise[:1], OLDER[2])
    case = judge.smallest(Script((ITEMS,), steps), seconds=120)
    assert case.count("\n") < 12
    assert "analyze" not in case
    assert "seven" not in case
    assert "account" in case


def test_cutting_down_ends_at_once_without_time() -> None:
    script = write_script(5)
    assert shrink(script, lambda _: True, seconds=0) == script


def test_the_model_by_hand() -> None:
    table = Table("upsert")
    first = Run("a", 1, (Record(("1",), ("x",)), Record(("1",), ("y",)), Record(None, (), bad=True)))
    assert table.load(first) == Account(read=3, inserted=1, superseded=1, rejected=1)
    table.load(Run("b", 5, (Record(("1",), ("y",)),)))
    assert table.load(Run("c", 3, (Record(("1",), ("z",)),))) == Account(read=1, superseded=1, stale=1)
    table.remove([("1",)])
    assert table.load(Run("c", 3, (Record(("1",), ("z",)),))) == Account(read=1, inserted=1)
    with pytest.raises(Failed, match="4 of 4 rejected"):
        table.load(Run("d", 6, (Record(None, (), bad=True),) * 4))
    with pytest.raises(Failed, match="without its header"):
        table.load(Run("e", 6, None))
    replaced = Table("replace", rows=dict(table.rows))
    with pytest.raises(Failed, match="1 of 1 rows would be deleted"):
        replaced.load(Run("f", 7, ()))
    assert len(Path(__file__).parents[2].joinpath("fuzz/sequences/model.py").read_text().splitlines()) <= 200
