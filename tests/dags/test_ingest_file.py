"""`ingest_file` on a real Airflow: a look, refusals, and a file that becomes a dataset with a table and a DAG."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.dags.conftest import Airflow, keep
from tests.waiting import appeared

DAG = "ingest_file"
VISITS = "id;at;amount;shop\n" + "".join(f"{n};{n % 28 + 1}.03.2026;{n},50;shop {n % 3}\n" for n in range(1, 200))
UNSURE = "id,due\n" + "".join(f"{n},0{n % 9 + 1}/0{n % 7 + 1}/2026\n" for n in range(1, 50))


def trigger(airflow: Airflow, text: str | None, name: str, **form: Any) -> tuple[str, str]:
    """Deliver a file, and ask for something to be done with it. The run and its state in the end."""
    file = airflow.settings.inbox / name
    if text is not None:
        file.write_text(text)
    run = airflow.trigger(DAG, file=str(file), **form)
    return run, airflow.outcome(DAG, run)


def tasks(airflow: Airflow, run: str) -> dict[str, tuple[str, int]]:
    return {task["task_id"]: (task["state"], task["try_number"]) for task in airflow.tasks(DAG, run)}


def dataset_files(airflow: Airflow) -> set[str]:
    return {file.name for file in (airflow.folder / "include" / "datasets").iterdir()}


def tables(airflow: Airflow, name: str) -> Any:
    with airflow.warehouse() as connection:
        return connection.execute("SELECT to_regclass(%s)::text", [name]).fetchone()


def test_a_look_then_a_load_then_a_dag_of_its_own(airflow: Airflow, page: Page) -> None:
    before = dataset_files(airflow)
    looked, state = trigger(airflow, VISITS, "visits_2026-03-01.csv")
    assert state == "success"
    assert {name: state for name, (state, _) in tasks(airflow, looked).items()} == {
        "describe": "success", "load": "skipped", "account": "skipped",
    }  # fmt: skip
    lines = airflow.lines(DAG, looked, "describe")
    (written,) = (line for line in lines if line.startswith("visits.yaml, the dataset file"))
    assert '\nsource: "{{ inbox }}/visits_{{ ds }}.csv"\n' in written, "in one piece, to be copied"
    assert lines[-1] == "The dataset file and the first rows are in the log of task `describe`.", "below Airflow's own"
    found = "visits_2026-03-01.csv: 199 rows, 4 columns, key id; dataset visits into public.visits"
    assert found in lines
    assert airflow.notes(DAG, looked)["run"].startswith(f"**Found.** {found}")
    assert (dataset_files(airflow), tables(airflow, "visits")) == (before, (None,)), "nothing was written"
    _see(page, airflow, looked)

    loaded, state = trigger(airflow, None, "visits_2026-03-01.csv", action="ingest")
    assert state == "success"
    assert airflow.account(DAG, loaded)["inserted"] == 199
    assert airflow.ledger(DAG, loaded, "status, dataset, version::text") == ("done", "visits", "2026-03-01 00:00:00+00")
    assert "Loaded into public.visits, version 2026-03-01T00:00:00+00:00: read 199" in airflow.notes(DAG, loaded)["run"]
    events = airflow.api.get("assets/events", source_dag_id=DAG)["asset_events"]
    assert [event["extra"]["inserted"] for event in events] == [199]
    assert dataset_files(airflow) - before == {"visits.yaml"}

    airflow.api.post(f"dags/{DAG}/clearTaskInstances", {"dry_run": False, "only_failed": False, "dag_run_id": loaded})
    assert airflow.outcome(DAG, loaded) == "success", "cleared, it is done once more"
    with airflow.warehouse() as connection:
        assert connection.execute("SELECT count(*), sum(amount) FROM visits").fetchone() == (199, 199 * 100 + 99.5)

    airflow.read_again()
    appeared(airflow.api, "ingest_visits")
    assert airflow.api.get("dags/ingest_visits")["is_paused"] is True
    airflow.api.patch("dags/ingest_visits", {"is_paused": False})
    own = airflow.trigger("ingest_visits", "2026-03-01")
    assert airflow.outcome("ingest_visits", own) == "success"
    assert airflow.account("ingest_visits", own)["status"] == "skipped", "the day's own run finds the file loaded"


def _see(page: Page, airflow: Airflow, run: str) -> None:
    """A person sees it: the note on the run's page, the dataset file in the log."""
    place = f"{airflow.settings.url}/dags/{DAG}/runs/{quote(run, safe='')}"
    page.goto(f"{place}/tasks/describe")
    expect(page.get_by_text("reject_limit: {rows: 1000, ratio: 0.01}").first).to_be_visible(timeout=90_000)
    keep(page, "ingest_file_log")
    page.goto(place)
    expect(page.get_by_text("199 rows, 4 columns, key id").first).to_be_visible(timeout=90_000)
    keep(page, "ingest_file_run")
    page.goto(f"{airflow.settings.url}/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    expect(page.get_by_text("Decimal mark").first).to_be_visible(timeout=90_000)
    keep(page, "ingest_file_form")


def test_what_is_ambiguous_is_refused_with_the_way_out(airflow: Airflow) -> None:
    before = dataset_files(airflow)
    run, state = trigger(airflow, UNSURE, "dues.csv", action="ingest")
    assert (state, tasks(airflow, run)["describe"]) == ("failed", ("failed", 1)), "no retry can help"
    note = airflow.notes(DAG, run)["run"]
    assert note.startswith("**Failed.** dues.csv: nothing was created, as this is for you to decide:")
    assert "due: '02/02/2026' may be day first or month first" in note
    assert "settle it with `dates`" in airflow.said(DAG, run, "describe")
    assert (dataset_files(airflow), tables(airflow, "dues")) == (before, (None,))
    settled, state = trigger(airflow, None, "dues.csv", action="create", dates="month first")
    assert (state, tables(airflow, "dues")) == ("success", ("dues",))
    assert '["%m/%d/%Y"]' in (airflow.folder / "include" / "datasets" / "dues.yaml").read_text()
    assert {name: state for name, (state, _) in tasks(airflow, settled).items()} == {
        "describe": "success", "load": "skipped", "account": "skipped",
    }  # fmt: skip
    again, state = trigger(airflow, UNSURE + "50,12/31/2026\n", "dues.csv", action="create")
    assert state == "failed"
    assert "dues.yaml is there already, and is never overwritten" in airflow.notes(DAG, again)["run"]


def test_a_file_that_is_not_there_is_said_at_once(airflow: Airflow) -> None:
    run, state = trigger(airflow, None, "nowhere.csv")
    assert (state, tasks(airflow, run)["describe"]) == ("failed", ("failed", 1))
    assert airflow.notes(DAG, run)["run"].startswith("**Failed.** nowhere.csv is not there")
