"""Which rules hold for a DAG, what is warned of, and that each is told once."""

from __future__ import annotations

import ast
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection
from pydantic import ValidationError

from include.bridge import notify
from include.bridge.notify import destinations
from include.bridge.notify.destinations import Notice, name_of
from include.ingest.concerns import concerns
from include.ingest.dataset.definition import RejectLimit
from include.ingest.dataset.interval import fresh_after, is_daily
from include.ingest.ledger import Account
from include.notify import EVENTS, Notify, rules_for
from include.warehouse import migrate
from include.warehouse.notices import forget, once, recovering
from stack.ports import free_port
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


@pytest.mark.parametrize(
    "to", ["https://hooks.example.com/SECRET", "SECRET" * 50, {"class": 7, "token": "SECRET"}, {"token": "SECRET"}]
)
def test_what_is_wrong_with_a_rule_is_said_without_its_secrets(to: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="must be ids of Connections") as raised:
        [*rules_for("a", {"MILLRACE_NOTIFY": json.dumps({"to": [to]})})]
    assert "SECRET" not in str(raised.value)


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
        ({"host": "https://h.example/hook?a=1", "port": 8443}, "https://h.example:8443/hook?a=1"),
        ({"host": "https://h.example:9/hook", "port": 8443}, "https://h.example:8443/hook"),
        ({"host": "https://me:pass@[::1]/hook", "port": 8443}, "https://me:pass@[::1]:8443/hook"),
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


NO_RECOVERY = {"audit_memory"}  # as the guide says, and why
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("file", sorted((REPOSITORY / "dags").glob("*.py")), ids=lambda file: str(file.stem))
def test_every_dag_that_tells_of_failures_tells_of_recovery(file: Path) -> None:
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)}
    assert ("notify.on_failure" in called) == ("notify.well" in called or file.stem in NO_RECOVERY)
    guide = (REPOSITORY / "docs" / "how-to" / "get-notices.md").read_text()
    assert (f"never for `{file.stem}`" in guide) == (file.stem in NO_RECOVERY)


def test_recovery_is_told_once_and_only_to_who_was_told(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = {"dag_run": SimpleNamespace(dag_id="d", run_id="run 2")}
    monkeypatch.setattr(notify, "get_current_context", lambda: later)
    with webhook(200, 503) as (port, came):
        _hook(monkeypatch, port)
        notify.well()
        _tell(monkeypatch, "hook")
        notify.well()
        notify.well()
    assert [body["event"] for body, _ in came] == ["failure", "recovery"]
    assert "run 2 went well. Before it: run 1" in came[1][0]["text"]


CONTEXT = {"dag_run": SimpleNamespace(dag_id="d", run_id="run 1"), "exception": ValueError("no file")}
NOTIFIER = {"class": "tests.operate.test_notify.Broken", "token": "SECRET" * 1000}


class Broken:
    """A notifier whose server can't be reached, with its arguments in the error, as those of Airflow have it."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, context: Any) -> None:
        raise RuntimeError(f"https://chat.example.com/{self.token} is away")


def _tell(monkeypatch: pytest.MonkeyPatch, *destinations: Any, pauses: tuple[float, float] = (0.1, 0.1)) -> None:
    """What Airflow does when no try of a task is left."""
    monkeypatch.setenv("MILLRACE_NOTIFY", json.dumps({"to": destinations}))
    monkeypatch.setattr(notify, "PAUSES_SECONDS", pauses)
    notify.on_failure()(CONTEXT)


@pytest.fixture
def ledger(warehouse: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    """The warehouse, as Airflow's Connection `warehouse` leads to it."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", dsn.replace("postgresql://", "postgres://"))
    return warehouse


def _hook(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    values = {"conn_type": "http", "host": f"http://127.0.0.1:{port}/services/SECRET"}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        None,
        "DROP TABLE millrace.notice",
        "ALTER ROLE CURRENT_USER IN DATABASE {} SET default_transaction_read_only = on",
    ],
)
def test_a_ledger_that_takes_no_notice_keeps_none_back(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: str | None
) -> None:
    if change is None:
        monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    else:
        ledger.execute(change.format(ledger.info.dbname).encode())
    with webhook() as (port, came):
        _hook(monkeypatch, port)
        _tell(monkeypatch, "hook")
    assert [body["text"] for body, _ in came] == ["d: failure. no file"]
    assert "the ledger of notices can't be asked, so a notice may be told twice: " in caplog.text


def test_what_is_away_for_a_while_is_told_in_the_end_and_once(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook(503, 429) as (port, came):
        _hook(monkeypatch, port)
        _tell(monkeypatch, "no_such", "hook")
        _tell(monkeypatch, "hook")
    assert [body["event"] for body, _ in came] == ["failure"]
    assert ledger.execute("SELECT destination, run FROM millrace.notice").fetchall() == [("hook", "run 1")]


def test_what_refuses_is_not_asked_again(ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook(404) as (port, came):
        _hook(monkeypatch, port)
        _tell(monkeypatch, "hook")
    assert came == []


def test_nobody_is_waited_for_without_end(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _hook(monkeypatch, free_port())
    _tell(monkeypatch, "hook", "hook", pauses=(0.1, notify.PATIENCE_SECONDS + 1))
    assert caplog.text.count("hook could not be told: ConnectError") == 2 * 2
    assert ledger.execute("SELECT FROM millrace.notice").rowcount == 0


def test_neither_log_nor_ledger_holds_a_secret(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millrace")
    told = {"class": "builtins.print", "sep": "SECRET"}
    with webhook(404, 404) as (port, _):
        _hook(monkeypatch, port)
        _tell(monkeypatch, "hook", NOTIFIER)
    monkeypatch.setattr(destinations, "_notifier", lambda *_: None)
    _tell(monkeypatch, told, NOTIFIER)
    assert "hook could not be told: HTTPStatusError 404" in caplog.text
    assert "SECRET" not in caplog.text
    kept = {to for (to,) in ledger.execute("SELECT destination FROM millrace.notice")}
    assert kept == {name_of(told), name_of(NOTIFIER)}
    assert "SECRET" not in str(kept)
    assert name_of(told) != name_of({**told, "sep": ","})


def test_secrets_leave_the_ledger_with_the_migration(warehouse: psycopg.Connection) -> None:
    warehouse.execute(
        "INSERT INTO millrace.notice (subject, destination, event, run) VALUES ('d', %s, 'failure', '1'),"
        " ('d', 'hook', 'failure', '1')",
        [json.dumps({**NOTIFIER, "token": "SECRET ü"}, sort_keys=True)],
    )
    warehouse.execute("DELETE FROM millrace.schema_migration WHERE name = '0019_destinations'")
    assert migrate.apply(warehouse) == ["0019_destinations"]
    with recovering(warehouse, "d", name_of({**NOTIFIER, "token": "SECRET ü"})) as runs:
        assert runs == ["1"]
    assert warehouse.execute("SELECT destination FROM millrace.notice").fetchall() == [("hook",)]
