"""The routes that correct and replay, with a real PostgreSQL; that they ask Airflow is tested with a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import HTTPException
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from include.ingest import replay_api
from include.ingest.ledger import Account
from include.warehouse.roles import ensure_role, let_read
from stack.postgres import PostgresServer
from tests.ingest.loading import DAY, HEADER, ITEMS, ingest, make_dataset, rows
from tests.ingest.page.serving import Replays, application, guards, rights
from tests.served import served

BAD = HEADER + '1,a,-1\n2,"b, c",x\n3,c,-3\n4,d\n5,e,5\n'


@dataclass
class Site:
    """The interface, who does its replays, and a run with four rejected rows."""

    client: httpx.Client
    replays: Replays
    run: Account
    ids: list[int]

    def ask(self, method: str, path: str, user: str = "eve", **more: Any) -> httpx.Response:
        """A request as the page makes it."""
        return self.client.request(method, path, headers={"Origin": self.origin, "X-User": user}, **more)

    @property
    def origin(self) -> str:
        return str(self.client.base_url.copy_with(path="/")).rstrip("/")

    def row(self, number: int) -> dict[str, Any]:
        """A row as the page shows it."""
        return dict(self.ask("GET", f"rejected/{self.ids[number]}").json())

    def replay(self, request_id: UUID | None = None, **wish: Any) -> httpx.Response:
        """Ask for a replay."""
        return self.ask("PUT", f"replays/{request_id or uuid4()}", json={"dataset": "items", **wish})


@contextmanager
def serving(dsn: str, folder: Path, run: Account, warehouse: Connection[Any], may: replay_api.Rights) -> Iterator[Site]:
    replays = Replays(dsn, folder)
    found = warehouse.execute(
        "SELECT id FROM millrace.rejected_row WHERE run_id = %s ORDER BY id", [run.run_id]
    ).fetchall()  # fmt: skip
    with (
        served(application(dsn, folder, guards(), changing=(may, replays))) as url,
        httpx.Client(base_url=f"{url}/millrace/ingest/", timeout=60) as client,
    ):
        yield Site(client, replays, run, [one for (one,) in found])


@pytest.fixture
def run(warehouse: Connection[Any], tmp_path: Path) -> Account:
    return ingest(warehouse, make_dataset(tmp_path), BAD, tmp_path)


@pytest.fixture
def site(dsn: str, warehouse: Connection[Any], tmp_path: Path, run: Account) -> Iterator[Site]:
    with serving(dsn, tmp_path, run, warehouse, rights()) as site:
        yield site


def test_a_row_shows_its_fields_and_who_changed_it(site: Site) -> None:
    row = site.row(1)
    assert row["fields"] == [
        {"column": "id", "value": "2", "type": "bigint"}, {"column": "label", "value": "b, c", "type": "text"},
        {"column": "price", "value": "x", "type": "numeric(8,2)"},
    ]  # fmt: skip
    assert (row["state"], row["may_change"], row["changes"], row["seen"]) == ("open", True, [], 0)
    short = site.row(3)
    assert (short["fields"], short["raw"]) == ([], "4,d")
    assert "2 fields instead of 3" in short["no_fields"]
    saved = site.ask("PUT", f"rejected/{site.ids[1]}/correction", "ann", json={"fields": {"price": "2"}, "seen": 0})
    assert saved.status_code == 200
    row = site.row(1)
    assert saved.json() == row
    assert (row["state"], row["corrected"]) == ("corrected", '2,"b, c",2')
    assert row["fields"][2]["value"] == "2"
    [change] = row["changes"]
    assert (change["who"], change["action"], change["before"], change["after"]) == (
        "ann", "corrected", '2,"b, c",x', '2,"b, c",2',
    )  # fmt: skip
    [listed] = site.ask("GET", "rejected", params={"state": "corrected"}).json()["rows"]
    assert (listed["id"], listed["changed_by"], listed["corrected"]) == (row["id"], "ann", '2,"b, c",2')
    taken_back = site.ask("DELETE", f"rejected/{site.ids[1]}/correction", params={"seen": row["seen"]})
    assert (taken_back.json()["state"], taken_back.json()["corrected"]) == ("open", None)


def test_a_correction_is_tried_and_nothing_is_kept(site: Site, warehouse: Connection[Any], tmp_path: Path) -> None:
    check = f"rejected/{site.ids[1]}/check"
    assert site.ask("POST", check, json={}).json()["accepted"] is False
    good = site.ask("POST", check, json={"fields": {"price": "2"}}).json()
    assert good == {"accepted": True, "record": '2,"b, c",2', "faults": []}
    bad = site.ask("POST", check, json={"fields": {"price": "-2"}}).json()
    assert bad["faults"] == [{"column": "price", "value": "-2", "rule": "min", "reason": "less than 0.00"}]
    not_one = site.ask("POST", check, json={"record": "1,a,1\n2,b,2"}).json()
    assert "is not one record" in not_one["faults"][0]["reason"]
    assert site.row(1)["changes"] == []
    make_dataset(tmp_path, ITEMS.replace(", min: 0", ""))
    assert site.ask("POST", check, json={"fields": {"price": "-2"}}).json()["accepted"], "by the file as it is now"


def test_a_hook_runs_beside_the_server(site: Site, tmp_path: Path) -> None:
    hook = "clean: tests.ingest.replay.hook:clean\n"
    make_dataset(tmp_path, ITEMS + hook)
    answer = site.ask("POST", f"rejected/{site.ids[0]}/check", json={}).json()
    assert answer["accepted"] is False


def test_the_second_save_is_refused_with_what_the_first_one_wrote(site: Site) -> None:
    path = f"rejected/{site.ids[1]}/correction"
    assert site.ask("PUT", path, "ann", json={"fields": {"price": "2"}, "seen": 0}).status_code == 200
    late = site.ask("PUT", path, "bob", json={"fields": {"price": "3"}, "seen": 0})
    assert late.status_code == 409
    assert "ann has corrected this row meanwhile" in late.json()["refused"]
    assert (late.json()["change"]["who"], late.json()["change"]["record"]) == ("ann", '2,"b, c",2')
    again = site.ask("PUT", path, "bob", json={"fields": {"price": "3"}, "seen": site.row(1)["seen"]})
    assert again.json()["corrected"] == '2,"b, c",3'


def test_a_row_is_dismissed_and_opened_again(site: Site) -> None:
    path = f"rejected/{site.ids[1]}/dismissal"
    dismissed = site.ask("PUT", path, "ann", json={"why": " a test of theirs ", "seen": 0}).json()
    assert dismissed["state"] == "dismissed"
    [change] = dismissed["changes"]
    assert (change["who"], change["action"], change["why"]) == ("ann", "dismissed", "a test of theirs")
    late = site.ask("PUT", f"rejected/{site.ids[1]}/correction", "bob", json={"fields": {"price": "3"}, "seen": 0})
    assert "ann has dismissed this row meanwhile" in late.json()["refused"]
    site.replays.do(UUID(site.replay().json()["id"]))  # takes the other rows only
    assert site.row(1)["state"] == "dismissed"
    opened = site.ask("DELETE", path, "bob", params={"seen": dismissed["seen"]}).json()
    assert (opened["state"], [one["action"] for one in opened["changes"]]) == ("open", ["dismissed", "reopened"])
    again = site.ask("DELETE", path, "bob", params={"seen": opened["seen"]})
    assert (again.status_code, "only a dismissed one can be opened again" in again.json()["detail"]) == (409, True)


def test_corrected_rows_are_replayed_by_airflow(site: Site, warehouse: Connection[Any]) -> None:
    site.ask("PUT", f"rejected/{site.ids[1]}/correction", json={"fields": {"price": "2"}, "seen": 0})
    site.ask("PUT", f"rejected/{site.ids[2]}/correction", json={"fields": {"price": "-4"}, "seen": 0})
    answer = site.replay(run_id=site.run.run_id, corrected=True)
    assert answer.status_code == 202
    asked = answer.json()
    assert (asked["state"], asked["who"], asked["runs"]) == ("waiting", "eve", [])
    assert asked["airflow_run"] == f"replay_rejected/replay__{asked['id']}"
    assert site.replays.begun == [(UUID(asked["id"]), "eve")]
    site.replays.do(UUID(asked["id"]))
    done = site.ask("GET", f"replays/{asked['id']}").json()
    assert (done["state"], done["sums"]["inserted"], done["sums"]["rejected"]) == ("done", 1, 1)
    [replay] = done["runs"]
    assert replay["replay_of"] == site.run.run_id
    assert rows(warehouse) == [(2, "b, c", 2), (5, "e", 5)]
    assert site.row(1)["state"] == "replayed"
    [again] = site.ask("GET", "rejected", params={"run_id": replay["run_id"]}).json()["rows"]
    assert (again["earlier"], again["reason"], again["line_number"]) == (site.ids[2], "less than 0.00", 4)
    [of_run] = site.ask("GET", "runs", params={"replay_of": site.run.run_id}).json()["runs"]
    assert (of_run["run_id"], of_run["asked_by"]) == (replay["run_id"], "eve")
    [listed] = site.ask("GET", "replays", params={"dataset": "items"}).json()["replays"]
    assert (listed["id"], listed["state"], listed["sums"]["read"]) == (asked["id"], "done", 2)


def test_replay_clicked_twice_is_done_once(site: Site) -> None:
    request = uuid4()
    for _ in range(2):
        assert site.replay(request, ids=site.ids[:1]).status_code == 202
    assert len(site.replays.begun) == 1
    other = site.replay(ids=site.ids[:1])  # from another tab, before the first is done
    assert other.status_code == 202
    site.replays.do(request)
    site.replays.do(UUID(other.json()["id"]))
    done = site.ask("GET", f"replays/{other.json()['id']}").json()
    assert (done["state"], done["runs"]) == ("done", [])
    late = site.replay(ids=site.ids[:1])
    assert (late.status_code, late.json()["detail"]) == (
        409, "there is nothing to replay: no such row is open any more",
    )  # fmt: skip


def test_a_replay_beside_a_load_waits_and_a_newer_row_stays(
    site: Site, dsn: str, warehouse: Connection[Any], tmp_path: Path
) -> None:
    site.ask("PUT", f"rejected/{site.ids[1]}/correction", json={"fields": {"price": "2"}, "seen": 0})
    asked = site.replay(corrected=True).json()
    with psycopg.connect(dsn) as load:
        load.execute("SELECT pg_advisory_xact_lock(hashtextextended('millrace target public.items', 0))")
        thread = Thread(target=site.replays.do, args=[UUID(asked["id"])])
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        assert site.ask("GET", f"replays/{asked['id']}").json()["state"] == "running"
        assert site.ask("GET", "datasets").status_code == 200
    ingest_newer = make_dataset(tmp_path)
    thread.join()
    ingest(warehouse, ingest_newer, HEADER + "3,new,30\n", tmp_path, version=DAY + timedelta(days=1))
    site.ask("PUT", f"rejected/{site.ids[2]}/correction", json={"fields": {"price": "3"}, "seen": 0})
    stale = site.replay(corrected=True).json()
    site.replays.do(UUID(stale["id"]))
    done = site.ask("GET", f"replays/{stale['id']}").json()
    assert (done["sums"]["stale"], done["sums"]["inserted"]) == (1, 0)
    assert rows(warehouse) == [(2, "b, c", 2), (3, "new", 30), (5, "e", 5)]


def test_a_row_that_is_being_replayed_is_not_waited_for(site: Site, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ingest.replay.desk.LOCK_SECONDS", 1)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM millrace.rejected_row WHERE id = %s FOR UPDATE", [site.ids[0]])
        answer = site.ask("PUT", f"rejected/{site.ids[0]}/correction", json={"fields": {"price": "2"}, "seen": 0})
    assert answer.status_code == 409
    assert "at this moment: try again" in answer.json()["detail"]


def test_what_airflow_refuses_is_told_and_can_be_asked_again(site: Site) -> None:
    request = uuid4()
    site.replays.refused = "the DAG replay_rejected is paused: unpause it in Airflow"
    assert site.replay(request).json()["detail"] == site.replays.refused
    assert site.ask("GET", f"replays/{request}").json()["state"] == "failed"
    site.replays.refused = None
    assert site.replay(request).status_code == 202
    site.replays.do(request)
    assert site.ask("GET", f"replays/{request}").json()["state"] == "done"


CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "rejected/{id}/check", {"json": {}}),
    ("PUT", "rejected/{id}/correction", {"json": {"record": "1,a,1", "seen": 0}}),
    ("DELETE", "rejected/{id}/correction", {"params": {"seen": 0}}),
    ("PUT", "rejected/{id}/dismissal", {"json": {"why": "", "seen": 0}}),
    ("DELETE", "rejected/{id}/dismissal", {"params": {"seen": 0}}),
    ("PUT", f"replays/{uuid4()}", {"json": {"dataset": "items"}}),
]
READS = ["rejected/{id}", "replays?dataset=items", "replays/{asked}"]


def test_who_may_not_start_runs_reads_only(dsn: str, warehouse: Connection[Any], tmp_path: Path, run: Account) -> None:
    with serving(dsn, tmp_path, run, warehouse, rights()) as site:
        asked = site.replay().json()["id"]
    with serving(dsn, tmp_path, run, warehouse, rights(may=lambda name: name == "others")) as site:
        for method, path, more in CHANGES:
            answer = site.ask(method, path.format(id=site.ids[0]), **more)
            assert (answer.status_code, answer.json()["detail"]) == (403, "you may not start runs of ingest_items")
        for path in READS:
            assert site.ask("GET", path.format(id=site.ids[0], asked=asked)).status_code == 200
        assert site.row(0)["may_change"] is False
        assert site.row(0)["changes"] == []
    with serving(dsn, tmp_path, run, warehouse, rights(sees=lambda name: name == "others")) as site:
        for path in READS:
            assert site.ask("GET", path.format(id=site.ids[0], asked=asked)).status_code == 403
        assert site.ask("GET", "replays").json() == {"replays": [], "next": None}


@pytest.mark.parametrize("status", [401, 403])
def test_every_route_is_guarded(
    dsn: str, warehouse: Connection[Any], tmp_path: Path, run: Account, status: int
) -> None:
    def refuse() -> None:
        raise HTTPException(status)

    with serving(dsn, tmp_path, run, warehouse, rights(enter=refuse)) as site:
        for method, path, more in [*CHANGES, *[("GET", path, {}) for path in READS]]:
            assert site.ask(method, path.format(id=site.ids[0], asked=uuid4()), **more).status_code == status


def test_another_site_changes_nothing(site: Site) -> None:
    for method, path, more in CHANGES:
        answer = site.client.request(
            method, path.format(id=site.ids[0]), headers={"Origin": "https://elsewhere.example"}, **more
        )
        assert (answer.status_code, answer.json()["detail"]) == (403, "the request comes from another site")


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "rejected/999999", {}, 404, "there is no rejected row 999999"),
    ("GET", f"rejected/{1 << 70}", {}, 404, "there is no rejected row"),
    ("PUT", "rejected/{id}/correction", {"json": {"record": "1,a,1"}}, 422, "seen"),
    ("PUT", "rejected/{id}/correction", {"json": {"record": "", "seen": 0}}, 409, "dismiss the row"),
    (
        "PUT",
        "rejected/{id}/correction",
        {"json": {"fields": {"nothing": "1"}, "seen": 0}},
        409,
        "has no column",
    ),
    ("DELETE", "rejected/{id}/correction", {"params": {"seen": 0}}, 409, "there is no correction to take back"),
    ("GET", f"replays/{UUID(int=9)}", {}, 404, "nobody has asked"),
    ("PUT", f"replays/{UUID(int=9)}", {"json": {"dataset": "items", "run_id": str(UUID(int=9))}}, 409, "nothing to"),
    ("PUT", f"replays/{UUID(int=9)}", {"json": {"dataset": "gone"}}, 409, "no dataset file gone.yaml any more"),
    ("PUT", f"replays/{UUID(int=9)}", {"json": {"dataset": "items", "ids": []}}, 422, "ids"),
    ("PUT", f"replays/{UUID(int=9)}", {"json": {"dataset": "items", "rules": "min"}}, 422, "rules"),
]


def test_what_is_refused(site: Site) -> None:
    for method, path, more, status, reason in REFUSED:
        answer = site.ask(method, path.format(id=site.ids[0]), **more)
        assert answer.status_code == status, (path, answer.text)
        assert reason in str(answer.json()["detail"]), path


def test_reading_needs_the_least_rights(
    postgres: PostgresServer, dsn: str, warehouse: Connection[Any], tmp_path: Path, run: Account
) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        ensure_role(connection, "pages", "only-reads")
    let_read(warehouse, "pages")
    with serving(make_conninfo(dsn, user="pages", password="only-reads"), tmp_path, run, warehouse, rights()) as site:
        assert site.row(0)["reason"] == "less than 0.00"
        assert site.ask("GET", "replays").status_code == 200
