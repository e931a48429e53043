"""Real programs, audited as in production: which are flagged, as what, and whether the line or holder is named."""

from __future__ import annotations

import os
import tempfile
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Row
from bench.harness import Bench
from bench.memory.cases import Case, cases
from bench.memory.programs import Program, running
from bench.report import Sheet
from bench.venvs import Absent, python_of
from include.memory.errors import MemoryAuditError
from include.memory.verdict.time_lapse import SECONDS, Audit, audit
from stack.errors import StackError

PINS = Path(__file__).parent / "pins.txt"
QUICK = ("global_list", "native_malloc", "multidict 6.6.3", "multidict 6.6.4", "cache_that_fills")
PROFILE_SECONDS = 3.0
LEAST_PUBLISHED = 5
OBJECTS = "Python objects"  # which have a line or a holder to name
LONGEST_NAME = 110


@dataclass(frozen=True)
class Told:
    """What was said of one program; `failed` says why nothing was."""

    case: Case
    verdict: str = ""
    kind: str = ""
    words: str = ""  # that its message would have: the first line and the first holder
    guilty: bool = False  # whether one of them is
    failed: str = ""

    @property
    def right(self) -> bool:
        """Whether everything that is said of it is true."""
        if not self.case.leaks:
            return self.verdict != "leaking" and not self.failed
        return self.verdict == "leaking" and self.kind == self.case.kind and (self.guilty or self.case.kind != OBJECTS)


def measure(bench: Bench) -> list[Told]:
    """Audit every program, or a few; some run side by side."""
    wanted = [case for case in cases() if not bench.quick or case.name in QUICK]

    def one(case: Case) -> Told:
        row = _audited(bench.folder, case)
        bench.say(f"{case.name:<28} {'ok   ' if row.right else 'WRONG'} {row.failed or f'{row.verdict}, {row.kind}'}")
        return row

    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(one, wanted))


def _audited(folder: Path, case: Case) -> Told:
    try:
        python = python_of(case.venv, folder / "venvs", PINS) if case.venv else None
        with (
            tempfile.TemporaryDirectory(prefix="millrace-leak-") as place,
            running(case.body, Path(place), python=python, STEPS=str(case.steps)) as program,
        ):
            found = audit(program.in_lapse, SECONDS, PROFILE_SECONDS)
            return Told(case, found.said.verdict, found.said.kind, *named(program, case, found))
    except (Absent, StackError, MemoryAuditError) as fault:
        return Told(case, failed=str(fault))


def named(program: Program, case: Case, found: Audit) -> tuple[str, bool]:
    """The first line of the traced window, as its source, and the chain to the first holder."""
    profile = found.profile or {}
    lines = (profile.get("traced") or {}).get("lines") or []
    holder = next((" → ".join(one["chain"]) for one in profile.get("holders") or []), "")
    own = [frame for frame in (lines[0]["frames"] if lines else []) if frame.startswith(f"{program.source}:")]
    source = program.source.read_text().splitlines()
    texts = [source[int(frame.rpartition(":")[2]) - 1].strip() for frame in own]
    guilty = any(case.line in text for text in texts) if case.line else False
    guilty = guilty or bool(case.holder and case.holder in holder)
    holder = textwrap.shorten(holder, LONGEST_NAME, placeholder="…")
    return "; ".join(words for words in (texts[0] if texts else "", holder) if words), guilty


def sheets(rows: Sequence[Told]) -> list[Sheet]:
    """One line a program."""
    told: dict[str, Row] = {
        row.case.name: {
            "is": "leak" if row.case.leaks else "innocent", "verdict": row.failed or row.verdict, "kind": row.kind,
            "named: line; holder": row.words if row.case.leaks else "",
            "": "FAILED" if row.failed else "right" if row.right else "WRONG",
        }
        for row in rows
    }  # fmt: skip
    return [Sheet.of("Real programs, audited", "program", told)]


def figures(rows: Sequence[Told] | None) -> list[Figure]:
    """How many are told right. A program that failed counts as not right."""
    leaks = [row for row in rows or [] if row.case.leaks]
    innocent = [row for row in rows or [] if not row.case.leaks]
    nameable = [row for row in leaks if row.case.kind == OBJECTS]
    flagged = {row.case.name for row in rows or [] if row.verdict == "leaking"}
    published = [row.case.name for row in leaks if row.case.venv]
    least = min(LEAST_PUBLISHED, len(published))
    bad = {
        f"of {len(leaks)} real leaks, not flagged": sum(row.case.name not in flagged for row in leaks),
        f"of {len(nameable)} real leaks of Python objects, neither line nor holder named":
            sum(not row.guilty for row in nameable),
        f"of {len(leaks)} real leaks, called another kind than they are":
            sum(row.kind != row.case.kind for row in leaks),
        f"of {len(innocent)} innocent real programs, flagged":
            sum(row.case.name in flagged or bool(row.failed) for row in innocent),
    }  # fmt: skip
    reproduced = len(flagged.intersection(published))
    return [
        Figure("published leaks that were reproduced and flagged", reproduced, least, least, "higher", unit="leaks"),
        *(Figure(name, wrong, len(leaks) if "another kind" in name else 0, 0) for name, wrong in bad.items()),
    ]
