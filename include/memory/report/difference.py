"""What changed between two snapshots of a process. Pure functions over profiles as they are kept.

A profile is two snapshots, one at each end of its window: it tells what changed between them. Two profiles tell what
changed in the hours between: counters, the entries of each holder, the objects of each type, and which lines kept more
in the second window than in the first. Profiles name the greatest only, so None is "not among them", not zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

COUNTERS = ("blocks", "objects", "frozen_objects", "heap_bytes", "free_bytes")
Row = dict[str, Any]


def within(profile: Row) -> Row:
    """From the beginning of a profile's window to its end."""
    evidence = profile["evidence"]
    return {
        "before": {"at": (evidence["first"] or {}).get("taken_at")},
        "after": {"at": evidence["counters"]["taken_at"]},
        "counters": _counters(evidence["first"] or {}, evidence["counters"]),
        "types": _sorted(_row({"name": one["name"]}, one["before"], one["after"]) for one in evidence["types"]),
        "holders": _sorted(_row(_holder(one), one["before"], one["after"]) for one in evidence["holders"]),
        "lines": _sorted(_row({"frames": one["frames"]}, 0, one["bytes"]) for one in _lines(evidence)),
    }


def between(earlier: Row, later: Row) -> Row:
    """From the end of one profile to the end of a later one of the same process."""
    first, last = earlier["evidence"], later["evidence"]
    memory = _row({"name": "anonymous_bytes"}, earlier["anonymous_bytes"], later["anonymous_bytes"])
    return {
        "before": {"at": first["counters"]["taken_at"], "evidence_id": earlier["evidence_id"]},
        "after": {"at": last["counters"]["taken_at"], "evidence_id": later["evidence_id"]},
        "counters": [memory, *_counters(first["counters"], last["counters"])],
        "types": _joined({one["name"]: one["after"] for one in first["types"]},
                         {one["name"]: one["after"] for one in last["types"]}, lambda name: {"name": name}),
        "holders": _joined({_chain(one): one["after"] for one in first["holders"]},
                           {_chain(one): one["after"] for one in last["holders"]},
                           lambda chain: {"what": chain[0], "chain": chain[1]}),
        "lines": _joined({tuple(one["frames"]): one["bytes"] for one in _lines(first)},
                         {tuple(one["frames"]): one["bytes"] for one in _lines(last)},
                         lambda frames: {"frames": frames}),
    }  # fmt: skip


def _counters(before: Row, after: Row) -> list[Row]:
    return [_row({"name": name}, before.get(name), after.get(name)) for name in COUNTERS]


def _lines(evidence: Row) -> list[Row]:
    return list((evidence["traced"] or {}).get("lines", ()))


def _holder(one: Row) -> Row:
    return {"what": one["what"], "chain": one["chain"]}


def _chain(one: Row) -> tuple[str, tuple[str, ...]]:
    """What tells a holder: its chain, without sizes and places in lists, which change as it grows."""
    return _unsized(one["what"]), tuple(map(_unsized, one["chain"]))


def _unsized(link: str) -> str:
    return re.sub(r"^\[[\d,]+\]", "[…]", re.sub(r" of [\d,]+$", "", link))


def _joined(before: dict[Any, Any], after: dict[Any, Any], named: Any) -> list[Row]:
    return _sorted(_row(named(key), before.get(key), after.get(key)) for key in before | after)


def _sorted(rows: Iterable[Row]) -> list[Row]:
    """The greatest change first; what stands in one of the two only comes after what stands in both."""
    return sorted(rows, key=lambda row: (row["change"] is None, -abs(_weight(row))))


def _weight(row: Row) -> float:
    return float(row["change"] if row["change"] is not None else row["after"] or row["before"] or 0)


def _row(name: Row, before: float | None, after: float | None) -> Row:
    return {**name, "before": before, "after": after, "change": None if None in (before, after) else after - before}  # type: ignore[operator]
