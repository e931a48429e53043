"""The memory audit's HTTP interface with a real PostgreSQL; the login is Airflow's, tested with a real Airflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool

from include.memory import api, pages
from include.memory.report import difference, due, timeline
from include.memory.verdict.judge import WARM_UP_HOURS
from include.memory.watcher.sample import Incarnation
from tests.memory import story
from tests.memory.story import BEFORE, HOST, LEAKING, WORKER, Life

Get = Callable[..., httpx.Response]
UNKNOWN = Incarnation(HOST, 1, 1)


def may() -> None:
    """Lets everybody in."""


def guarded(status: int) -> Callable[[], None]:
    def refuse() -> None:
        raise HTTPException(status)

    return refuse


def answers(dsn: str, paths: list[str], guard: Callable[[], None] = may, **query: Any) -> list[httpx.Response]:
    """What the interface says to these paths, asked at the same time."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[httpx.AsyncClient]:
        async with AsyncConnectionPool(dsn, min_size=0, max_size=api.CONNECTIONS, open=False) as pool:
            service = api.Service(pool)
            app = FastAPI()
            app.include_router(api.router(lambda: service, guard))
            app.include_router(pages.router(guard))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                yield client

    async def ask() -> list[httpx.Response]:
        async with serving() as client:
            return await asyncio.gather(*(client.get(f"/memory{path}", params=query) for path in paths))

    return asyncio.run(ask())


@pytest.fixture
def get(dsn: str, warehouse: Connection[Any]) -> Get:
    """GET a path of the interface, of a warehouse that tells the story."""
    story.tell(warehouse)
    return lambda path, **query: answers(dsn, [path], **query)[0]


def path(key: Incarnation, more: str = "") -> str:
    return f"/processes/{key.host}/{key.pid}/{key.start_ticks}{more}"


def key_of(row: dict[str, Any]) -> Incarnation:
    return Incarnation(row["host"], row["pid"], row["start_ticks"])


def test_leaks_come_first_then_what_is_watched(get: Get) -> None:
    found = get("/processes").json()
    listed = found["processes"]
    assert [key_of(one) for one in listed[:2]] == [LEAKING, WORKER]
    assert len(listed) == 7, "those that live"
    rates = [one["rate"] or 0.0 for one in listed[2:]]
    assert rates == sorted(rates, reverse=True)
    first = listed[0]
    assert (first["verdict"], first["kind"], first["rate"], first["rate_low"], first["rate_high"]) == (
        "leaking", "Python objects", 6.18, 5.94, 6.41,
    )  # fmt: skip
    assert first["hours_left"] == 21.6
    assert first["limit_bytes"] == 512e6
    assert "no curve that levels off" in first["why"]
    assert 370e6 < first["used_bytes"] < 380e6
    born = datetime.fromisoformat(first["started_at"])
    assert abs(datetime.now(UTC) - timedelta(hours=31) - born) < timedelta(minutes=2)
    unjudged = next(one for one in listed if one["host"] == "airflow-2")
    assert (unjudged["verdict"], unjudged["rate"]) == (None, None)


def test_a_spark_is_sixty_points_with_gaps(get: Get) -> None:
    [leak, *_] = get("/processes", hours=48).json()["processes"]
    assert len(leak["spark"]) == 60
    seen = [value for value in leak["spark"] if value is not None]
    assert 38 <= len(seen) <= 40, "31 of 48 hours"
    assert leak["spark"][0] is None
    assert leak["spark"][-1] == leak["used_bytes"]
    assert seen == sorted(seen)


def test_what_ended_is_shown_on_demand_and_last(get: Get) -> None:
    listed = get("/processes", hours=168, ended=True).json()["processes"]
    assert [one["ended"] for one in listed] == [False] * 7 + [True] * 2
    assert {one["pid"] for one in listed[7:]} == {8123, BEFORE.pid}
    assert BEFORE.pid not in {one["pid"] for one in get("/processes", hours=24, ended=True).json()["processes"]}


def test_when_a_verdict_is_due() -> None:
    began = datetime(2026, 11, 30, 10, 3, tzinfo=UTC)
    assert due.due_at(None, began, False) == datetime(2026, 11, 30, 11, 10, tzinfo=UTC)
    assert due.due_at("warming up", began - timedelta(minutes=3), False) == datetime(2026, 11, 30, 11, 0, tzinfo=UTC)
    assert due.due_at("steady", began, False) is None
    assert due.due_at(None, began, True) is None
    assert due.WARM_UP_MINUTES == 60 * WARM_UP_HOURS
    schedule = f'schedule="*/{due.AUDIT_MINUTES} * * * *"'
    assert schedule in (Path(__file__).parents[2] / "dags" / "audit_memory.py").read_text()


def test_an_empty_warehouse(dsn: str, warehouse: Connection[Any]) -> None:
    listed, tasks, one = answers(dsn, ["/processes", "/tasks", path(LEAKING)])
    assert listed.json()["processes"] == []
    assert tasks.json() == {"hours": 48, "total": 0, "tasks": []}
    assert one.status_code == 404


def test_one_process_in_400_points_at_most(get: Get) -> None:
    for hours in (6, 24, 48, 168):
        found = get(path(LEAKING), hours=hours).json()
        points = found["points"]
        lengths = {len(column) for column in points.values()}
        assert len(lengths) == 1
        assert 70 < lengths.pop() <= 400
        ascending = list(map(datetime.fromisoformat, points["at"]))
        assert ascending == sorted(ascending)
        for low, mean, high in zip(*(points[f"used_{part}bytes"] for part in ("low_", "", "high_")), strict=True):
            assert low <= mean <= high
        assert all(points["blocks"])
    assert found["step_seconds"] == 1516


def test_a_short_look_back_has_each_look(get: Get) -> None:
    found = get(path(LEAKING), hours=1).json()
    assert found["step_seconds"] == 60
    assert 59 <= len(found["points"]["at"]) <= 61


def test_a_worker_that_forks_is_measured_by_anonymous_memory(get: Get) -> None:
    listed = {key_of(one): one for one in get("/processes").json()["processes"]}
    assert (listed[WORKER]["measure"], listed[LEAKING]["measure"]) == ("anonymous", "unique")
    assert min(value for value in listed[WORKER]["spark"] if value) > 55e6, "no look falls to the unique pages"
    found = get(path(WORKER)).json()
    assert found["process"]["measure"] == "anonymous"
    assert min(found["points"]["used_low_bytes"]) > 55e6
    assert found["process"]["used_bytes"] == listed[WORKER]["used_bytes"]


def test_an_order_for_a_profile_is_told(get: Get, warehouse: Connection[Any]) -> None:
    assert get(path(WORKER)).json()["order"] is None
    warehouse.execute(
        "INSERT INTO millrace.memory_order (host, pid, start_ticks, seconds, frames, done_at, fault)"
        " VALUES (%s, %s, %s, 30, 10, now(), 'it has no agent')",
        [WORKER.host, WORKER.pid, WORKER.start_ticks],
    )
    assert get(path(WORKER)).json()["order"]["fault"] == "it has no agent"


def test_restart_deploy_and_profiles_are_marked(get: Get) -> None:
    found = get(path(LEAKING), hours=48).json()
    assert [(one["pid"], one["own"]) for one in found["starts"]] == [(LEAKING.pid, True)]
    assert [key_of(one) for one in found["earlier"]] == [BEFORE]
    assert len(found["earlier"][0]["points"]["at"]) > 100
    [deploy] = found["deploys"]
    assert (deploy["before"], deploy["after"]) == ("2026.11.1", "2026.11.2")
    assert timedelta(hours=11.9) < datetime.now(UTC) - datetime.fromisoformat(deploy["at"]) < timedelta(hours=12.1)
    assert [(one["lines"], one["types"], one["holders"]) for one in found["profiles"]] == [(3, 3, 3)] * 2
    assert found["process"]["flagged_at"]


def test_a_look_back_that_ends_before_them_has_no_marks(get: Get) -> None:
    found = get(path(LEAKING), hours=6).json()
    assert (found["starts"], found["earlier"], found["deploys"]) == ([], [], [])


def test_siblings_are_starts_and_not_predecessors(get: Get) -> None:
    found = get(path(WORKER), hours=48).json()
    assert {one["pid"]: one["own"] for one in found["starts"]} == {4730: True, 4731: False, 8123: False}
    assert found["earlier"] == []


def test_a_deploy_between_two_lives_is_seen(dsn: str, warehouse: Connection[Any]) -> None:
    lives = [Life(Incarnation(HOST, 1, 1), "scheduler", 14, 12.1, story.steady(100), None),
             Life(Incarnation(HOST, 2, 2), "scheduler", 11.9, 0, story.steady(100), None)]  # fmt: skip
    story.tell(warehouse, lives)
    [found] = answers(dsn, [path(lives[1].process)], hours=24)
    assert [(one["before"], one["after"]) for one in found.json()["deploys"]] == [("2026.11.1", "2026.11.2")]


def test_an_ended_process_is_shown_up_to_its_end(get: Get) -> None:
    found = get(path(BEFORE), hours=6).json()
    assert found["process"]["ended"]
    assert found["until"] == found["process"]["seen_at"]
    assert len(found["points"]["at"]) > 300


def test_which_task_on_which_worker_made_it_grow(get: Get) -> None:
    found = get("/tasks").json()
    assert found["total"] == 30
    first = found["tasks"][0]
    assert (first["dag_id"], first["task_id"], key_of(first)) == ("build_features", "train", WORKER)
    assert first["role"] == "executor-worker"
    assert first["worker_grown_bytes"] == first["worker_after_bytes"] - first["worker_before_bytes"] > 30e6
    assert first["peak_bytes"] > first["retained_bytes"] > 0
    grown = [one["worker_grown_bytes"] for one in found["tasks"]]
    assert grown == sorted(grown, reverse=True)
    peaks = [one["peak_bytes"] for one in get("/tasks", order="peak", limit=3).json()["tasks"]]
    assert len(peaks) == 3
    assert peaks == sorted(peaks, reverse=True)
    of_worker = get("/tasks", host=HOST, pid=WORKER.pid, start_ticks=WORKER.start_ticks)
    assert of_worker.json()["total"] == 30
    of_other = get("/tasks", host=HOST, pid=LEAKING.pid, start_ticks=LEAKING.start_ticks)
    assert of_other.json()["total"] == 0
    assert get("/tasks", hours=3).json()["total"] == 2
    marked = get(path(WORKER), hours=24).json()
    assert 20 < marked["tasks_total"] == len(marked["tasks"]) < 30


def test_tasks_without_a_known_worker_come_last(dsn: str, warehouse: Connection[Any]) -> None:
    story.add_tasks(warehouse, datetime.now(UTC))
    warehouse.execute("UPDATE millrace.memory_task SET worker_after_bytes = NULL WHERE task_id = 'train'")
    [found] = answers(dsn, ["/tasks"])
    assert found.json()["tasks"][0]["task_id"] == "load"
    assert found.json()["tasks"][-1] | {"worker_grown_bytes": None, "role": None} == found.json()["tasks"][-1]


def test_a_profile_as_the_agent_gave_it(get: Get) -> None:
    newest = get(path(LEAKING)).json()["profiles"][0]
    found = get(path(LEAKING, f"/evidence/{newest['evidence_id']}")).json()
    assert found["taken_at"] == newest["taken_at"]
    assert found["evidence"]["traced"]["lines"][0]["frames"][0].endswith("audit_trail.py:41")
    assert found["evidence"]["holders"][0]["chain"][0] == "module audit_trail"
    assert 365e6 < found["anonymous_bytes"] < 375e6


def test_what_changed_between_two_profiles(get: Get) -> None:
    last, first = (one["evidence_id"] for one in get(path(LEAKING)).json()["profiles"])
    found = get(path(LEAKING, "/difference"), before=first, after=last).json()
    assert 8 * 3600 < found["after"]["at"] - found["before"]["at"] < 8.2 * 3600
    counters = {one["name"]: one["change"] for one in found["counters"]}
    assert counters["blocks"] == 520_000
    assert 45e6 < counters["anonymous_bytes"] < 55e6
    assert found["types"][0] == {
        "name": "audit_trail.Event", "before": 418_302, "after": 531_984, "change": 113_682,
    }  # fmt: skip
    holder = found["holders"][0]
    assert holder["chain"] == ["module audit_trail", ".HISTORY audit_trail.History", ".events list"], "without sizes"
    assert holder["change"] == 113_682
    assert {one["change"] for one in found["lines"]} == {0, (531_984 - 418_302) // 100}


def test_what_changed_within_a_profile(get: Get) -> None:
    [last, _] = get(path(LEAKING)).json()["profiles"]
    found = get(path(LEAKING, "/difference"), after=last["evidence_id"]).json()
    assert found["after"]["at"] - found["before"]["at"] == 32
    assert {one["name"]: one["change"] for one in found["counters"]}["blocks"] == 4_140
    assert found["types"][0]["change"] == 192
    assert found["holders"][0]["change"] == 96


def test_what_is_in_one_profile_only_has_no_change() -> None:
    first, last = story.evidence(0.0, 100, 1_000), story.evidence(3_600.0, 200, 2_000)
    first["types"], last["traced"] = [], None
    rows = [{"evidence_id": n, "anonymous_bytes": None, "evidence": one} for n, one in enumerate((first, last))]
    found = difference.between(*rows)
    assert {(one["before"], one["change"]) for one in found["types"]} == {(None, None)}
    assert {(one["after"], one["change"]) for one in found["lines"]} == {(None, None)}
    assert found["counters"][0] == {"name": "anonymous_bytes", "before": None, "after": None, "change": None}


@pytest.mark.parametrize(
    ("where", "query", "status", "reason"),
    [
        (path(UNKNOWN), {}, 404, "there was no process 1 on airflow-1"),
        (path(LEAKING, "/evidence/999"), {}, 404, "has no profile 999"),
        (path(UNKNOWN, "/evidence/1"), {}, 404, "has no profile 1"),
        (path(LEAKING, "/difference"), {"after": 999}, 404, "has no profile 999"),
        (path(LEAKING), {"hours": 0}, 422, ""),
        (path(LEAKING), {"hours": 1e9}, 422, ""),
        ("/processes", {"hours": "nan"}, 422, ""),
        ("/tasks", {"order": "t.pid; DROP TABLE x"}, 422, ""),
        ("/tasks", {"host": HOST}, 422, "told by host, pid and start_ticks together"),
        (f"/processes/{HOST}/99999999999999999999/1", {}, 422, ""),
        (f"/processes/{HOST}%00/1/1", {}, 422, ""),
        ("/passwd", {}, 404, "there is no page"),
    ],
)
def test_what_is_refused(get: Get, where: str, query: dict[str, Any], status: int, reason: str) -> None:
    answer = get(where, **query)
    assert answer.status_code == status
    assert reason in str(answer.json()["detail"])


@pytest.mark.parametrize("status", [401, 403])
def test_every_route_is_guarded(dsn: str, status: int) -> None:
    every = ["/processes", path(LEAKING), path(LEAKING, "/evidence/1"), path(LEAKING, "/difference"), "/tasks",
             *(f"/{file}" for file in pages.FILES), "/base.css", "/theme.js", "/page.js"]  # fmt: skip
    assert {one.status_code for one in answers(dsn, every, guarded(status))} == {status}


def test_the_files_of_the_page(dsn: str) -> None:
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    files = [*pages.FILES, "base.css", "theme.js", "page.js"]
    for name, answer in zip(files, answers(dsn, [f"/{name}" for name in files]), strict=True):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_predecessors_are_those_of_one_line() -> None:
    at = partial(timedelta, hours=1)
    began = datetime(2026, 1, 1, tzinfo=UTC)

    def life(pid: int, first: int, last: int) -> dict[str, Any]:
        return {"host": HOST, "pid": pid, "start_ticks": pid, "started_at": began + first * at(),
                "seen_at": began + last * at()}  # fmt: skip

    own, one, two = life(3, 10, 20), life(1, 0, 5), life(2, 5, 9)
    assert timeline.before(own, [one, two, own]) == [one, two]
    assert timeline.before(own, [one, life(4, 3, 9), own]) == [], "two at a time are no line"


def test_many_processes_are_listed_in_time(dsn: str, warehouse: Connection[Any]) -> None:
    warehouse.execute(
        "INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,"
        " anonymous_bytes, swap_bytes, unique_bytes, threads, unreadable)"
        " SELECT 'host-' || pid / 20, pid, 1000, now() - look * interval '10 minutes', 'worker', 1e6 - look * 600, 2e8,"
        " 1e8, 0, 1e8 + look, 4, '{}' FROM generate_series(1, 200) pid, generate_series(0, 287) look"
    )
    warehouse.execute("ANALYZE millrace.memory_sample")
    began = time.monotonic()
    [found] = answers(dsn, ["/processes"])
    assert len(found.json()["processes"]) == 200
    assert time.monotonic() - began < 5
