"""Whoever `notify` names is told once of each, by a webhook, by mail and by a notifier; and what is old is deleted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from tests.dags.conftest import Airflow
from tests.operate.listening import mail_server, webhook
from tests.waiting import until

HEADER = "id,label,price\n"
Hooked = list[tuple[dict[str, Any], dict[str, str]]]


@pytest.fixture
def hooked(airflow: Airflow) -> Iterator[Hooked]:
    """What the webhook of Connection `ops_hook` was sent."""
    with webhook() as (port, came):
        _connect(airflow, "ops_hook", "http", host="127.0.0.1", port=port, schema="hooks/1", password="let-me")
        yield came


@pytest.fixture
def mailed(airflow: Airflow) -> Iterator[list[EmailMessage]]:
    """What was mailed by Connection `ops_mail`."""
    extra = {"from_email": "airflow@example.com", "to": "ops@example.com", "disable_ssl": True, "disable_tls": True}
    with mail_server() as (port, came):
        _connect(airflow, "ops_mail", "smtp", host="127.0.0.1", port=port, extra=json.dumps(extra))
        yield came


def _connect(airflow: Airflow, name: str, kind: str, **values: Any) -> None:
    """Enter the Connection, or have it lead elsewhere: a test before has ended its server."""
    body = {"connection_id": name, "conn_type": kind, **values}
    if airflow.api.get(f"connections/{name}") is None:
        airflow.api.post("connections", body)
    else:
        airflow.api.patch(f"connections/{name}", body)


def test_failure_warning_and_recovery_are_told_once(
    airflow: Airflow, hooked: Hooked, mailed: list[EmailMessage]
) -> None:
    told = airflow.folder / "told-noticed.txt"
    notifier = {"class": "told.Told", "file": str(told), "text": "{{ event }} of {{ run_id }}"}
    destinations = json.dumps(["ops_hook", "ops_mail", notifier, "no_such"])
    dag = airflow.add_dataset("noticed", f"schedule: null\nnotify: {{to: {destinations}}}")
    airflow.deliver("noticed", "2026-03-01", HEADER + "1,a,x\n2,b,x\n")
    failed = airflow.trigger(dag, "2026-03-01")
    assert airflow.outcome(dag, failed) == "failed"
    until(lambda: told.exists() and len(hooked) == len(mailed) == 1, "the failure to be told")
    body, headers = hooked[0]
    assert (headers["authorization"], headers["path"]) == ("Bearer let-me", "/hooks/1")
    assert (body["event"], body["dag"], body["run"]) == ("failure", dag, failed)
    assert "2 rows were rejected" in body["text"], body["text"]
    assert body["link"].startswith(f"{airflow.settings.url}/dags/{dag}/runs/")
    assert (mailed[0]["subject"], mailed[0]["to"]) == (f"failure: {dag}", "ops@example.com")
    assert told.read_text() == f"failure of {failed}\n"

    airflow.deliver("noticed", "2026-03-02", HEADER + "1,a,1\n2,b,x\n")
    odd = airflow.trigger(dag, "2026-03-02")
    assert airflow.outcome(dag, odd) == "success"
    assert [body["event"] for body, _ in hooked] == ["failure", "warning", "recovery"]
    assert "1 of 2 rows were rejected, near the limit of 1 rows" in hooked[1][0]["text"]
    assert f"Before it: {failed}" in hooked[2][0]["text"]
    assert [mail["subject"] for mail in mailed] == [f"{event}: {dag}" for event in ("failure", "warning", "recovery")]
    assert "no_such could not be told: " in airflow.said(dag, odd, "account")

    airflow.deliver("noticed", "2026-03-03", HEADER + "1,a,1\n2,b,2\n")
    assert airflow.outcome(dag, airflow.trigger(dag, "2026-03-03")) == "success"
    assert (len(hooked), len(mailed), len(told.read_text().splitlines())) == (3, 3, 3), "nothing more to tell"


def test_a_table_that_is_late_is_told_and_that_it_has_come(airflow: Airflow, hooked: Hooked) -> None:
    dag = airflow.add_dataset("punctual", 'schedule: "@daily"\nfresh_by: "00:00"\nnotify: {to: [ops_hook]}')
    until(lambda: bool(hooked), "the late file to be told of")
    body = hooked[0][0]
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    assert (body["event"], body["dag"]) == ("late", dag)
    assert f"the file of {yesterday}" in body["text"]
    airflow.deliver("punctual", yesterday, HEADER + "1,a,1\n")
    assert airflow.outcome(dag, body["run"]) == "success"
    assert [one["event"] for one, _ in hooked] == ["late", "recovery"]


def test_housekeeping_deletes_what_is_old(airflow: Airflow) -> None:
    dag = airflow.add_dataset("kept")
    for day in ("2026-03-01", "2026-03-02"):
        airflow.deliver("kept", day, f"{HEADER}1,{day},1\n")
        assert airflow.outcome(dag, airflow.trigger(dag, day)) == "success"
    aged = "UPDATE millrace.ingest_run SET finished_at = finished_at - interval '400 days' WHERE dataset = 'kept'"
    with airflow.warehouse() as connection:
        connection.execute(aged)
    log = airflow.settings.logs / "tasks" / "dag_id=old" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text("long ago\n")
    os.utime(log, (time.time() - 31 * 86_400,) * 2)
    run = airflow.trigger("housekeeping")
    assert airflow.outcome("housekeeping", run) == "success"
    deleted = airflow.account("housekeeping", run)
    assert (deleted["runs"], deleted["files"], deleted["objects"]) == (1, 1, 0)
    assert not log.exists()
    assert "runs=1" in airflow.said("housekeeping", run, "account")
    with airflow.warehouse() as connection:
        left = connection.execute("SELECT version::date::text FROM millrace.ingest_run WHERE dataset = 'kept'")
        assert left.fetchall() == [("2026-03-02",)]
