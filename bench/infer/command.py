"""`./run bench infer`: what `init` tells of CSV files, beside DuckDB's sniffer and CleverCSV, and how long it takes.

A file is told right when its dialect, header, number of rows and number of columns are. Peers get it in UTF-8.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench import harness
from bench.figures import Figure, Row
from bench.infer import ours, sets, speed
from bench.infer.sets import Case
from bench.infer.truth import ASPECTS, Told, right, types_right
from bench.report import Sheet
from bench.venvs import Absent, python_of
from stack.errors import StackError

HERE = Path(__file__).parent / "peers"
PEERS = {"duckdb": "duckdb_sniff.py", "clevercsv": "clevercsv_sniff.py"}
OURS = "millrace"
Scores = dict[str, Row]
SNIFF_SECONDS = 900.0


def sniffed(name: str, folder: Path, cases: Sequence[Case]) -> list[Told]:
    """What a peer tells of the files. Raises Absent where it can't be had."""
    python = python_of(name, folder / "venvs", HERE / "pins.txt")
    names = "".join(f"{case.plain}\n" for case in cases)
    done = subprocess.run(
        [str(python), str(HERE / PEERS[name])],
        input=names,
        capture_output=True,
        text=True,
        timeout=SNIFF_SECONDS,
        check=False,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    if len(told) != len(cases):
        raise Absent(f"{name} stopped after {len(told)} files: {done.stderr.strip()[-120:]}")
    return [_told(one) for one in told]


def _told(said: dict[str, Any]) -> Told:
    return Told(**{**said, "types": tuple(said.get("types", ()))})


def score(cases: Sequence[Case], told: Sequence[Told]) -> Row:
    """Percent of files of which each aspect, and all of them, were told right; of types and keys where known."""
    found: Counter[str] = Counter()
    types = type_count = keys = key_count = 0
    for case, one in zip(cases, told, strict=True):
        aspects = right(case.truth, one)
        found.update(name for name, good in aspects.items() if good)
        found["all"] += all(aspects.values())
        good, count = types_right(case.truth, one)
        types, type_count = types + good, type_count + count
        keys += bool(case.truth.key) and one.key == case.truth.key
        key_count += bool(case.truth.key)
    row: Row = {name: _percent(found[name], len(cases)) for name in ("all", *ASPECTS)}
    return row | {"types": _percent(types, type_count), "keys": _percent(keys, key_count)}


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def _scores(bench: harness.Bench, cases: Sequence[Case]) -> Scores:
    scores = {OURS: score(cases, [ours.tell(case.path) for case in cases])}
    for name in PEERS:
        try:
            scores[name] = score(cases, sniffed(name, bench.folder, cases))
        except (Absent, subprocess.TimeoutExpired) as fault:
            bench.notes.append(f"{name} is absent: {fault}")
    return scores


def measure_odd(bench: harness.Bench) -> Scores:
    """Own odd files."""
    return _scores(bench, sets.made(bench.folder / "odd", 24 if bench.quick else 200))


def measure_carried(bench: harness.Bench) -> dict[str, Scores]:
    """Files of others: those that were looked at, and those that were not."""
    try:
        cases = sets.carried(bench.folder, 24 if bench.quick else None)
    except Absent as fault:
        raise StackError(str(fault)) from None
    parts = {"seen": [case for case in cases if not case.held], "held": [case for case in cases if case.held]}
    return {name: _scores(bench, part) for name, part in parts.items() if part}


def _sheet(title: str, scores: Scores) -> Sheet:
    return Sheet.of(f"{title}: percent told right", "who", scores)


def _figures(what: str, scores: Scores | None) -> list[Figure]:
    """How far ours is ahead of the best of the others."""
    mine = _value(scores, OURS, "all")
    others = [value for name in PEERS if (value := _value(scores, name, "all")) is not None]
    ahead = round(mine - max(others), 1) if mine is not None and others else None
    return [
        Figure(f"{what}: files told right", mine, 90, 97, "higher", "%"),
        Figure(f"{what}: ahead of the best peer", ahead, 0, 5, "higher", "points"),
    ]


def _value(scores: Scores | None, who: str, what: str) -> float | None:
    value = (scores or {}).get(who, {}).get(what)
    return value if isinstance(value, int | float) else None


def figures_odd(scores: Scores | None) -> list[Figure]:
    """Of own files, also types and keys."""
    return [
        *_figures("odd files", scores),
        Figure("odd files: types", _value(scores, OURS, "types"), 95, 99, "higher", "%"),
        Figure("odd files: keys", _value(scores, OURS, "keys"), 95, 99, "higher", "%"),
    ]


def figures_carried(found: Mapping[str, Scores] | None) -> list[Figure]:
    """Of files of others."""
    parts = {"seen": "packages' files", "held": "packages' files, not looked at"}
    return [figure for name, what in parts.items() for figure in _figures(what, (found or {}).get(name))]


def sheets_carried(found: Mapping[str, Scores]) -> list[Sheet]:
    """Both halves."""
    return [_sheet(f"Files of packages ({name})", scores) for name, scores in found.items()]


class Bench(harness.Bench):
    """How well `init` tells what a CSV file is, beside DuckDB's sniffer and CleverCSV, and how long it takes."""

    name = "infer"
    parts: ClassVar[harness.Parts] = {
        "odd": [harness.PartOf(measure_odd, lambda scores: [_sheet("Odd files", scores)], figures_odd)],
        "packages": [harness.PartOf(measure_carried, sheets_carried, figures_carried)],
        "speed": [speed],
    }
    packages: ClassVar[Sequence[str]] = ("numpy", "numba", "pyarrow")
    pins: ClassVar[Path] = HERE / "pins.txt"
    busy_means = "seconds are longer; what is told is the same"
