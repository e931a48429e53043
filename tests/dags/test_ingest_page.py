"""The page Ingest in a real Airflow: in its navigation, as a tab of a run, with its login and its buttons.

What the page shows is tested without Airflow, in tests/ingest/page.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.dags.conftest import Airflow, keep

SECOND = 1000


@pytest.mark.airflow
@pytest.mark.browser
def test_a_run_is_found_from_airflow_and_cleared(page: Page, airflow: Airflow) -> None:
    dag = airflow.add_dataset("seen_on_page")
    airflow.deliver("seen_on_page", "2026-03-02", "id,label,price\n1,first,1.50\n2,second,-3\n")
    run = airflow.trigger(dag, "2026-03-02")
    assert airflow.outcome(dag, run) == "success"
    page.goto(f"{airflow.settings.url}/plugin/ingest")
    for name in ("Ingest", "Images", "Memory"):
        expect(page.get_by_test_id("nav-sidebar").get_by_text(name, exact=True)).to_be_visible()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Datasets", exact=True)).to_be_visible(timeout=60 * SECOND)
    keep(page, "ingest-page")
    of_run = f"{airflow.settings.url}/dags/{dag}/runs/{quote(run, safe='')}/plugin/ingest_run"
    page.goto(of_run)
    expect(frame.get_by_role("heading", name="seen_on_page 2026-03-02")).to_be_visible(timeout=60 * SECOND)
    frame.get_by_role("link", name="min", exact=True).click()
    expect(frame.locator(".rejected tbody tr")).to_have_count(1)
    expect(frame.locator(".rejected mark")).to_have_text("-3")
    page.goto(of_run)
    frame.get_by_role("link", name="seen_on_page").click()
    frame.get_by_role("link", name="Edit a copy").click()
    frame.get_by_role("button", name="Preview").click()
    tried = frame.get_by_role("region", name="Result")
    expect(tried).to_contain_text("1 would land", timeout=120 * SECOND)
    expect(tried).to_contain_text("seen_on_page_2026-03-02.csv")
    page.goto(of_run)
    frame.get_by_role("button", name="Run again").click()
    frame.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(frame.get_by_text("The run begins again.")).to_be_visible()
    assert airflow.outcome(dag, run) == "success"
    assert airflow.ledger(dag, run)[0] == "done", "the table holds the file still"


@pytest.mark.airflow
@pytest.mark.parametrize(
    "file",
    [
        "datasets",
        "runs",
        "rejected",
        "rejected.csv",
        "ingest.html",
        "run.js",
        "base.css",
        "dataset-schema",
        "datasets/orders/profile",
    ],
)
def test_it_needs_the_login(airflow: Airflow, file: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{airflow.settings.url}/millrace/ingest/{file}")
    assert refused.value.code == 401
    refused.value.close()


@pytest.mark.airflow
@pytest.mark.browser
def test_a_rejected_row_is_edited_and_replayed_by_airflow(page: Page, airflow: Airflow) -> None:
    dag = airflow.add_dataset("replayed_on_page")
    airflow.deliver("replayed_on_page", "2026-03-02", "id,label,price\n1,first,1.50\n2,second,-3\n")
    assert airflow.outcome(dag, airflow.trigger(dag, "2026-03-02")) == "success"
    page.goto(f"{airflow.settings.url}/plugin/ingest")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Rejected rows", exact=True).first.click(timeout=60 * SECOND)
    frame.get_by_label("Dataset").select_option("replayed_on_page")
    expect(frame.get_by_role("button", name="Replay all 1 open row of replayed_on_page")).to_be_visible()
    frame.get_by_role("button", name="Edit line 3").click()
    frame.get_by_label("price").fill("3")
    frame.get_by_role("button", name="Save").click()
    frame.get_by_role("button", name="Replay 1 corrected row", exact=True).click()
    frame.get_by_role("dialog").get_by_role("button", name="Replay").click()
    replays = frame.get_by_role("region", name="Replays")
    expect(replays).to_contain_text("1 accepted (1 new, 0 changed, 0 unchanged)", timeout=180 * SECOND)
    keep(page, "ingest-replayed")
    with airflow.warehouse() as warehouse:
        [(request, who, status)] = warehouse.execute(
            "SELECT q.id, q.who, r.status FROM millrace.replay_request q"
            " JOIN millrace.ingest_run r ON r.replay_request = q.id WHERE q.dataset = 'replayed_on_page'"
        ).fetchall()
    assert (who, status) == ("admin", "done")
    assert airflow.outcome("replay_rejected", f"replay__{request}") == "success"


@pytest.mark.airflow
@pytest.mark.parametrize("kind", ["check", "preview"])
def test_an_edited_file_needs_the_login(airflow: Airflow, kind: str) -> None:
    request = urllib.request.Request(
        f"{airflow.settings.url}/millrace/ingest/datasets/orders/{kind}",
        data=b'{"text": "name: orders"}', headers={"Content-Type": "application/json"},
    )  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 401
    refused.value.close()
