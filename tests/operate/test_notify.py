"""Which rules hold for a DAG, what is warned of, and that each is told once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection
from pydantic import ValidationError

from include.bridge.notify import destinations
from include.bridge.notify.destinations import Notice
from include.ingest.concerns import concerns
from include.ingest.dataset.definition import RejectLimit
from include.ingest.dataset.interval import fresh_after, is_daily
from include.ingest.ledger import Account
from include.notify import EVENTS, Notify, rules_for
from include.warehouse.notices import forget, once, recovering
from tests.operate.listening import webhook

NOTICE = Notice("failure", "ingest_a", "run 1", "ingest_a: failure. No file", "http://here/dags/ingest_a")
DONE = Account("1", "a", "public.a", "a.csv", "2026-03-01", "done", None, 9, 1, 100, 100, 0, 0, 0, 0, 0, 0, [],
               "ignore", [], {}, [], [], [], 0.1)  # fmt: skip


def test_rules_are_chosen_by_the_name_of_the_dag() -> None:
    text = json.dumps([{"to": ["a"], "dags": ["ingest_*"]}, {"to": ["b"], "on": ["failure"]}])
    found = [*rules_for("ingest_orders", {"MILLRACE_NOTIFY": text})]
    assert [(rule.to, rule.on) for rule in found] == [(["a"], [*EVENTS]), (["b"], ["failure"])]
    assert [rule.to for rule in rules_for("resize_images", {"MILLRACE_NOTIFY": text})] == [["b"]]
    assert [*rules_for("resize_images", {})] == []
    assert [rule.to for rule in rules_for("x", {"MILLRACE_NOTIFY": '{"to": ["c"]}'})] == [["c"]]


@pytest.mark.parametrize(
    "text", ["{", "7", "{}", '{"to": []}', '{"to": [{"file": "x"}]}', '{"to": ["a"], "on": ["x"]}']
)
def test_a_wrong_rule_says_which_setting(text: str) -> None:
    with pytest.raises(ValueError, match=r"^\$MILLRACE_NOTIFY must be JSON as "):
        [*rules_for("a", {"MILLRACE_NOTIFY": text})]


def test_a_dataset_has_no_dags() -> None:
    with pytest.raises(ValidationError, match="dags"):
        Notify.model_validate({"to": ["a"], "dags": ["b"]})


@pytest.mark.parametrize(
    ("changes", "limit", "said"),
    [
        ({}, {}, None),
        ({"rejected": 1}, {"rows": 1000, "ratio": 0.01}, "1 of 100 rows were rejected, near the limit of 1 %"),
        ({"rejected": 80}, {"rows": 100, "ratio": None}, None),
        ({"rejected": 81}, {"rows": 100, "ratio": 1.0},
         "81 of 100 rows were rejected, near the limit of 100 rows and 100 %"),
        ({"rejected": 81}, {"rows": None, "ratio": None}, None),
        ({"rejected": 0}, {"rows": 0, "ratio": 0.0}, None),
        ({"stale": 2}, {}, "2 of 100 rows are older than the table's, and changed nothing"),
        ({"columns_come": ["x", "y"], "columns_gone": ["z"]}, {}, "columns that came: x, y; columns that went: z"),
        ({"status": "skipped", "stale": 2}, {}, None),
    ],
)  # fmt: skip
def test_what_is_warned_of(changes: dict[str, Any], limit: dict[str, Any], said: str | None) -> None:
    assert concerns(replace(DONE, **changes), RejectLimit.model_validate(limit)) == said


def test_each_is_told_once_and_what_failed_to_be_told_is_told_again(warehouse: psycopg.Connection) -> None:
    with pytest.raises(OSError, match="away"), once(warehouse, "d", "to", "failure", "1"):
        raise OSError("away")
    due: list[bool] = []
    for run in ("1", "1", "2"):
        with once(warehouse, "d", "to", "failure", run) as told:
            due.append(told)
    assert due == [True, False, True]
    with pytest.raises(OSError, match="away"), recovering(warehouse, "d", "to"):
        raise OSError("away")
    for expected in (["1", "2"], []):
        with recovering(warehouse, "d", "to") as runs:
            assert runs == expected
    with once(warehouse, "d", "to", "warning", "3"):
        pass
    assert (forget(warehouse, 0), forget(warehouse, 1)) == (0, 0)
    warehouse.execute("UPDATE millrace.notice SET told_at = told_at - interval '2 days'")
    assert forget(warehouse, 1) == 1


def test_two_tasks_at_once_tell_once(warehouse: psycopg.Connection, dsn: str) -> None:
    due: list[bool] = []

    def other() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection, once(connection, "d", "to", "failure", "1") as told:
            due.append(told)

    with once(warehouse, "d", "to", "failure", "1") as told:
        thread = threading.Thread(target=other)
        thread.start()
        due.append(told)
        thread.join(0.5)
        assert thread.is_alive(), "it waits for what becomes of the first"
    thread.join()
    assert due == [True, False]


def _connection(**values: Any) -> Callable[[str], Any]:
    usual = {"conn_type": "http", "host": None, "port": None, "login": None, "password": None, "schema": None}
    return lambda _: SimpleNamespace(**{**usual, "extra_dejson": {}, **values})


def test_a_webhook_gets_what_the_connection_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (port, came):
        extra = {"headers": {"x-team": "data"}, "fields": ["text"]}
        url = _connection(host=f"http://127.0.0.1:{port}/a/b", extra_dejson=extra, login="me", password="secret")
        monkeypatch.setattr(Connection, "get", url)
        destinations.send("hook", NOTICE, {})
    ((body, headers),) = came
    assert body == {"text": NOTICE.text}
    assert (headers["path"], headers["x-team"]) == ("/a/b", "data")
    assert headers["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"host": "h", "port": 8}, "http://h:8/"),
        ({"host": "h", "schema": "https"}, "https://h/"),
        ({"conn_type": "https", "host": "h", "schema": "a/b"}, "https://h/a/b"),
        ({"host": "https://h/x"}, "https://h/x"),
    ],
)
def test_the_address_of_a_webhook(values: dict[str, Any], url: str) -> None:
    assert destinations._url(_connection(**values)("")) == url


def test_a_connection_that_can_carry_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "get", _connection(conn_type="ftp"))
    with pytest.raises(ValueError, match="Connection odd is of type ftp: notices go to http, https or smtp"):
        destinations.send("odd", NOTICE, {})
    monkeypatch.setattr(Connection, "get", _connection(conn_type="smtp"))
    with pytest.raises(ValueError, match="Connection odd does not say who gets mail"):
        destinations.send("odd", NOTICE, {})


@pytest.mark.parametrize(
    ("schedule", "fresh_by", "hours"),
    [("@daily", "06:00", 30), ("@daily", "00:00", 24), ("30 7 * * *", "08:00", 24.5), ("30 7 * * *", "06:00", 46.5)],
)
def test_fresh_by_is_counted_from_the_start_of_the_interval(schedule: str, fresh_by: str, hours: float) -> None:
    assert fresh_after(schedule, fresh_by).total_seconds() / 3600 == hours


def test_which_schedules_are_daily() -> None:
    assert [is_daily(one) for one in ("@daily", "5 4 * * *")] == [True, True]
    assert not any(is_daily(one) for one in (None, "@hourly", "@weekly", "0 */2 * * *", "0 0 * * 1", "0 0 0 * * *"))
