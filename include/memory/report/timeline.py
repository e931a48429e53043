"""What one process took over a stretch of time, and what happened meanwhile: restarts, deploys, task runs, profiles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from include.memory.report.processes import ALL, SAME, last
from include.memory.report.used import ANONYMOUS, SHARE, UNIQUE, forks
from include.memory.watcher.sample import Incarnation

MOST_POINTS = 400
SHORTEST_SECONDS = 60  # a look a minute: finer points would have holes
EARLIER = 20  # incarnations before this one whose curves are drawn too

COLUMNS = f"""
    to_timestamp(floor(extract(epoch FROM s.taken_at) / %(step)s) * %(step)s + %(step)s / 2.0) AS at,
    avg({UNIQUE})::bigint AS unique_bytes, min({UNIQUE}) AS unique_low_bytes, max({UNIQUE}) AS unique_high_bytes,
    avg({ANONYMOUS})::bigint AS anonymous_bytes, min({ANONYMOUS}) AS anonymous_low_bytes,
    max({ANONYMOUS}) AS anonymous_high_bytes, min({SHARE}) AS low_share, max({SHARE}) AS high_share,
    avg(s.resident_bytes)::bigint AS resident_bytes"""
COUNTED = """,
    min((s.counters ->> 'blocks')::double precision)::bigint AS blocks,
    min((s.counters ->> 'objects')::double precision)::bigint AS objects,
    min((s.counters ->> 'heap_bytes')::double precision)::bigint AS heap_bytes,
    min((s.counters ->> 'free_bytes')::double precision)::bigint AS free_bytes"""
FROM = f"""
FROM millrace.memory_sample s WHERE {SAME} AND s.taken_at > %(since)s AND s.taken_at <= %(until)s
GROUP BY 1 ORDER BY 1"""
KIN = """
SELECT p.host, p.pid, p.start_ticks, p.started_at, p.seen_at, p.ended, p.release FROM process p
WHERE p.role = %(role)s AND p.seen_at > %(since)s AND p.started_at <= %(until)s ORDER BY p.started_at"""
RELEASES = """
WITH look AS (
    SELECT s.taken_at, s.release,
        lag(s.release) OVER (ORDER BY s.taken_at) AS before
    FROM millrace.memory_sample s
    JOIN unnest(%(hosts)s::text [], %(pids)s::integer [], %(starts)s::bigint []) AS p (host, pid, start_ticks)
        USING (host, pid, start_ticks)
    WHERE s.taken_at > %(since)s AND s.taken_at <= %(until)s AND s.release IS NOT NULL
)
SELECT taken_at AS at, before, release AS after FROM look WHERE release <> before ORDER BY taken_at"""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time that is shown."""

    since: datetime
    until: datetime

    @property
    def step_seconds(self) -> int:
        """What one point stands for."""
        # One fewer, as the first and the last may be cut in two by the ends.
        return max(SHORTEST_SECONDS, ceil((self.until - self.since).total_seconds() / (MOST_POINTS - 1)))


@dataclass(frozen=True)
class Curve:
    """Points as columns of equal length, and whether their memory is the anonymous one."""

    points: dict[str, list[Any]]
    by_anonymous: bool


def stretch_of(process: dict[str, Any], hours: float) -> Stretch:
    """So many hours until now, or until the end of a process that lives no more."""
    until = process["seen_at"] if process["ended"] else datetime.now(UTC)
    return Stretch(until - timedelta(hours=hours), until)


async def points(connection: AsyncConnection[Any], key: Incarnation, stretch: Stretch, counted: bool = True) -> Curve:
    """At most 400 points: the mean, lowest and highest memory, and the lowest counters.

    The lowest, as what a collection would free lies above it. A stretch without a look has no point.
    """
    values = {**asdict(key), "since": stretch.since, "until": stretch.until, "step": stretch.step_seconds}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT" + COLUMNS + (COUNTED if counted else "") + FROM, values)
        rows = await cursor.fetchall()
        names = [column.name for column in cursor.description or ()]
    return _measured({name: [row[name] for row in rows] for name in names})


def _measured(columns: dict[str, list[Any]]) -> Curve:
    """The columns with the figure that is the memory of this process."""
    chosen = "anonymous" if forks(columns.pop("low_share"), columns.pop("high_share")) else "unique"
    found = {}
    for name, column in columns.items():
        measure, _, rest = name.partition("_")
        if measure == chosen:
            found[f"used_{rest}"] = column
        elif measure not in ("anonymous", "unique"):
            found[name] = column
    return Curve(found, chosen == "anonymous")


async def kin(connection: AsyncConnection[Any], process: dict[str, Any], stretch: Stretch) -> list[dict[str, Any]]:
    """The incarnations of this role on this host that lived in that time, this one among them, by their start."""
    values = {"host": process["host"], "role": process["role"], "since": stretch.since, "until": stretch.until}
    of_host = last("(SELECT * FROM known WHERE host = %(host)s) AS known")
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(ALL + of_host + KIN, values)
        return await cursor.fetchall()


def before(process: dict[str, Any], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that this one may have come in place of: they ended before it began, and no two lived at a time."""
    ended = [one for one in others if one["seen_at"] <= process["started_at"]]
    alone = all(one["seen_at"] <= other["started_at"] for one, other in pairwise(ended))
    return ended[-EARLIER:] if alone else []


def starts(process: dict[str, Any], others: list[dict[str, Any]], stretch: Stretch) -> list[dict[str, Any]]:
    """When this process and others of its role on its host began, within that time."""
    return [
        {"at": one["started_at"], "pid": one["pid"], "own": _same(one, process)}
        for one in others
        if stretch.since < one["started_at"] <= stretch.until
    ]


async def deploys(
    connection: AsyncConnection[Any], lives: list[dict[str, Any]], stretch: Stretch
) -> list[dict[str, Any]]:
    """The moments at which these incarnations were first seen with another release."""
    values = {
        "hosts": [one["host"] for one in lives], "pids": [one["pid"] for one in lives],
        "starts": [one["start_ticks"] for one in lives], "since": stretch.since, "until": stretch.until,
    }  # fmt: skip
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(RELEASES, values)
        return await cursor.fetchall()


def key_of(one: dict[str, Any]) -> Incarnation:
    """The incarnation that a row is about."""
    return Incarnation(one["host"], one["pid"], one["start_ticks"])


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return key_of(one) == key_of(other)
