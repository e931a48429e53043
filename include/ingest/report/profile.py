"""What a run's columns hold now and held before, and over the last runs.

A sample can't tell what is rare. So a value is called new, or gone, only where the other run's sample would have had it
about ten times if the other file had as many, and a share is called changed only where chance does not explain it, as
shares go up and down from day to day.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

RUNS = 30  # of the sparkline
SURE = 10  # records of a sample that are expected to show a value: that none does happens once in 20,000 times
NOTICED = 0.001  # of a share's change
DEVIATIONS = 4  # of chance, beyond which a change is none of it
MOST_SAID = 20  # values of a column that are listed
ONE = "SELECT records, sampled, good, columns FROM millrace.ingest_profile WHERE run_id = %s AND chunk = -1"
LAST = f"""
SELECT r.run_id, r.version, p.records, p.sampled,
    (SELECT jsonb_object_agg(c ->> 'name', c -> 'null_share') FROM jsonb_array_elements(p.columns) c) AS shares
FROM millrace.ingest_run r JOIN millrace.ingest_profile p ON p.run_id = r.run_id AND p.chunk = -1
WHERE r.dataset = %s AND r.status = 'done' ORDER BY r.started_at DESC LIMIT {RUNS}"""


async def _profile(connection: AsyncConnection[Any], run_id: UUID) -> dict[str, Any] | None:
    cursor = connection.cursor(row_factory=dict_row)
    return await (await cursor.execute(ONE, [run_id])).fetchone()


async def history(connection: AsyncConnection[Any], dataset: str, limit: int, after: str | None) -> dict[str, Any]:
    """The last runs, the oldest first, and each column of the newest one with its share of nulls in each of them."""
    cursor = connection.cursor(row_factory=dict_row)
    found = list(reversed(await (await cursor.execute(LAST, [dataset])).fetchall()))
    newest = await _profile(connection, found[-1]["run_id"]) if found else None
    columns = newest["columns"] if newest else []
    names = [one["name"] for one in columns]
    first = names.index(after) + 1 if after in names else 0
    page = columns[first : first + limit]
    for one in page:
        one["shares"] = [(run["shares"] or {}).get(one["name"]) for run in found]
    runs = [{key: value for key, value in run.items() if key != "shares"} for run in found]
    return {"runs": runs, "columns": page, "next": page[-1]["name"] if first + limit < len(columns) else None}


async def compared(connection: AsyncConnection[Any], before: UUID, now: UUID) -> dict[str, Any] | None:
    """Shares of nulls that moved, and values that came or went; None where one of the runs has no profile."""
    old, new = await _profile(connection, before), await _profile(connection, now)
    if old is None or new is None:
        return None
    olds = {one["name"]: one for one in old["columns"]}
    both = [(one["name"], olds[one["name"]], one) for one in new["columns"] if one["name"] in olds]
    return {
        **{name: new[name] for name in ("records", "sampled")},
        **{f"{name}_before": old[name] for name in ("records", "sampled")},
        "nulls": [
            {"column": name, "before": a["null_share"], "now": b["null_share"]}
            for name, a, b in both
            if _moved(a["null_share"], b["null_share"], old, new)
        ],
        "values": [one for name, a, b in both for one in _values(name, a, b, old, new)],
    }


def _is_whole(profile: dict[str, Any]) -> bool:
    return bool(profile["sampled"] == profile["records"])


def _moved(before: float | None, now: float | None, old: dict[str, Any], new: dict[str, Any]) -> bool:
    if before is None or now is None or before == now:
        return False
    change = abs(now - before)
    if _is_whole(old) and _is_whole(new) and {before, now} & {0, 1}:
        return True  # none, or all, for certain
    middle = (before * old["good"] + now * new["good"]) / (old["good"] + new["good"])
    chance = (middle * (1 - middle) * (1 / old["good"] + 1 / new["good"])) ** 0.5
    return change >= NOTICED and change > DEVIATIONS * chance


def _values(
    name: str, a: dict[str, Any], b: dict[str, Any], old: dict[str, Any], new: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """What of the column's values is to be said, if anything."""
    if a["values"] is None:
        return
    if b["values"] is None:
        if b["distinct"] is not None and a["distinct"] is not None and b["distinct"] > 2 * a["distinct"]:
            yield {"column": name, "come": [], "gone": [], "more": 0, "distinct": b["distinct"]}
        return
    come, gone = _only_in(b["values"], a["values"], new, old), _only_in(a["values"], b["values"], old, new)
    if come or gone:
        more = max(0, len(come) - MOST_SAID) + max(0, len(gone) - MOST_SAID)
        yield {"column": name, "come": come[:MOST_SAID], "gone": gone[:MOST_SAID], "more": more, "distinct": None}


def _only_in(
    values: dict[str, int], others: dict[str, int], here: dict[str, Any], there: dict[str, Any]
) -> list[dict[str, Any]]:
    """Values of one run that the other has not, and surely would have shown."""
    least = 0 if _is_whole(there) else SURE * here["records"] / max(1, there["sampled"])
    found = [(value, rows) for value, rows in values.items() if value not in others and rows >= least]
    return [{"value": value, "rows": rows} for value, rows in sorted(found, key=lambda pair: (-pair[1], pair[0]))]
