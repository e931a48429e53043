"""Replays that were asked for on the page, what a correction would come to, and corrections that meet each other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import RejectLimit
from include.ingest.errors import ChangedMeanwhile, CorrectionRefused, ReplayRefused
from include.ingest.replay import requests
from include.ingest.replay.choice import Choice
from include.ingest.replay.corrections import changes, correct, restore
from include.ingest.replay.trial import Fault, try_record
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows, staging_tables
from tests.ingest.replay.rejecting import WHO, rejects, replayed, states

Warehouse = psycopg.Connection[Any]
RELAXED = ITEMS.replace(", min: 0", "")
BAD = HEADER + "1,a,-1\n2,b,x\n3,c,-3\n4,d\n5,e,5\n"


def asked(warehouse: Warehouse, **wanted: Any) -> requests.Request:
    request = requests.Request(uuid4(), "items", WHO, **wanted)
    requests.ask(warehouse, request)
    return requests.request_of(warehouse, request.id)


def test_a_request_is_done_for_each_run_that_has_such_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset, relaxed = make_dataset(tmp_path), make_dataset(tmp_path, RELAXED)
    first = ingest(warehouse, dataset, BAD, tmp_path)
    second = ingest(warehouse, dataset, BAD.replace("1,a", "11,a").replace("3,c", "13,c"), tmp_path,
                    version=DAY + timedelta(days=1))  # fmt: skip
    request = asked(warehouse, choice=Choice(rule="min", column="price"))
    late = ingest(warehouse, dataset, BAD.replace("1,a", "21,a"), tmp_path, version=DAY + timedelta(days=2))
    accounts = requests.work(warehouse, request, relaxed, "replay_rejected/one")
    assert [counts(one) for one in accounts] == [{"read": 2, "inserted": 2}] * 2
    assert [states(warehouse, one)[2] for one in (first, second, late)] == ["replayed", "replayed", "open"], (
        "what was rejected since is not meant"
    )
    assert states(warehouse, first)[3] == "open"
    found = warehouse.execute(
        "SELECT replay_of, asked_by, airflow_run FROM millrace.ingest_run WHERE replay_request = %s"
        " ORDER BY started_at",
        [request.id],
    ).fetchall()
    assert found == [(UUID(one.run_id), WHO, "replay_rejected/one") for one in (first, second)]
    assert requests.work(warehouse, request, relaxed) == [], "a task that is tried again has nothing left to do"
    assert requests.close(warehouse, request.id)["inserted"] == 4


def test_asked_twice_it_is_done_once(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RELAXED)
    ingest(warehouse, make_dataset(tmp_path), BAD, tmp_path)
    request = asked(warehouse, choice=Choice(rule="min"))
    requests.ask(warehouse, request)
    assert len(requests.work(warehouse, request, dataset)) == 1
    requests.ask(warehouse, request)
    with pytest.raises(ReplayRefused, match="no such row is open any more"):
        asked(warehouse, choice=Choice(rule="min"))
    row = warehouse.execute("SELECT count(*), count(finished_at) FROM millrace.replay_request").fetchone()
    assert row == (1, 1)


def test_only_what_somebody_corrected(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, BAD, tmp_path)
    with pytest.raises(ReplayRefused, match="no such row"):
        asked(warehouse, run_id=UUID(first.run_id), choice=Choice(corrected=True))
    correct(warehouse, dataset, rejects(warehouse, first)[1].id, who=WHO, fields={"price": "2"})
    request = asked(warehouse, run_id=UUID(first.run_id), choice=Choice(corrected=True))
    [account] = requests.work(warehouse, request, dataset)
    assert counts(account) == {"read": 1, "inserted": 1}
    assert rows(warehouse) == [(2, "b", 2), (5, "e", 5)]


def test_one_run_that_is_refused_leaves_the_others_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RELAXED, reject_limit=RejectLimit(rows=1, ratio=None))
    lax = make_dataset(tmp_path)
    refused = ingest(warehouse, lax, HEADER + "1,a,x\n2,b,y\n3,c,-1\n", tmp_path)
    good = ingest(warehouse, lax, HEADER + "4,a,x\n5,b,-1\n", tmp_path, version=DAY + timedelta(days=1))
    request = asked(warehouse)
    [account] = requests.work(warehouse, request, dataset)
    assert counts(account) == {"read": 2, "inserted": 1, "rejected": 1}
    assert set(states(warehouse, refused).values()) == {"open"}
    assert set(states(warehouse, good).values()) == {"replayed"}
    with pytest.raises(ReplayRefused, match="2 of 3 replayed rows were rejected again"):
        requests.close(warehouse, request.id)


def test_a_request_whose_task_died_is_closed_as_failed(warehouse: Warehouse, tmp_path: Path) -> None:
    ingest(warehouse, make_dataset(tmp_path), BAD, tmp_path)
    request = asked(warehouse)
    with pytest.raises(ReplayRefused, match="ended before it was done"):
        requests.close(warehouse, request.id)
    [account] = requests.work(warehouse, request, make_dataset(tmp_path, RELAXED))
    assert account.inserted == 2
    assert requests.close(warehouse, request.id)["rejected"] == 2, "cleared, it is done after all"


def test_what_a_correction_would_come_to(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, BAD, tmp_path)
    one = rejects(warehouse, first)[1].id
    before = [
        warehouse.execute(f"SELECT * FROM millrace.{table} ORDER BY 1, 2").fetchall()
        for table in ("ingest_run", "rejected_row", "ingest_chunk", "rejected_row_change")
    ]
    assert try_record(warehouse, dataset, one).faults == [Fault("price", "x", "type", "not a decimal number")]
    good = try_record(warehouse, dataset, one, fields={"price": "2"})
    assert (good.record, good.faults) == ("2,b,2", [])
    assert try_record(warehouse, dataset, one, fields={"price": "-2"}).faults[0].rule == "min"
    assert try_record(warehouse, dataset, one, raw="2,b").faults[0].rule == "fields"
    assert try_record(warehouse, make_dataset(tmp_path, RELAXED), one, fields={"price": "-2"}).faults == []
    assert try_record(warehouse, dataset, one, fields={"id": str(2**63)}).faults[0].column == "id"
    with pytest.raises(CorrectionRefused, match="is not one record"):
        try_record(warehouse, dataset, one, raw="2,b,1\n3,c,1")
    after = [
        warehouse.execute(f"SELECT * FROM millrace.{table} ORDER BY 1, 2").fetchall()
        for table in ("ingest_run", "rejected_row", "ingest_chunk", "rejected_row_change")
    ]
    assert after == before
    assert staging_tables(warehouse) == []
    assert counts(replayed(warehouse, dataset, first, {3: {"price": "2"}})) == {"read": 4, "inserted": 1, "rejected": 3}


def test_the_second_of_two_people_is_told_what_the_first_wrote(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, BAD, tmp_path)
    one = rejects(warehouse, first)[1].id
    correct(warehouse, dataset, one, who="ann", fields={"price": "2"}, seen=0)
    with pytest.raises(ChangedMeanwhile, match="ann has corrected this row meanwhile") as told:
        correct(warehouse, dataset, one, who="bob", fields={"price": "3"}, seen=0)
    assert (told.value.who, told.value.after) == ("ann", "2,b,2")
    with pytest.raises(ChangedMeanwhile):
        restore(warehouse, one, dataset="items", who="bob", seen=0)
    [change] = changes(warehouse, one)
    correct(warehouse, dataset, one, who="bob", fields={"price": "3"}, seen=change.number)
    restore(warehouse, one, dataset="items", who="ann")
    found = rejects(warehouse, first)[1]
    assert (found.corrected, found.edited, found.state) == (None, False, "open")
    with pytest.raises(CorrectionRefused, match="as it came"):
        restore(warehouse, one, dataset="items", who="ann")
    assert [(one.action, one.who, one.before, one.after) for one in changes(warehouse, one)] == [
        ("corrected", "ann", "2,b,x", "2,b,2"), ("corrected", "bob", "2,b,2", "2,b,3"),
        ("restored", "ann", "2,b,3", "2,b,x"),
    ]  # fmt: skip
