"""`./run bench pages`: how soon each view of the three pages is there, in a browser, with a long past behind it.

The stack of the benchmarks gets 1,000 runs, a million rejected rows, 10,000 pictures and 30 days of looks at 15
processes. Each view is opened in turn with Airflow's own list of DAGs, which is the peer: seconds from the start of the
navigation until what it is opened for is drawn.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import psycopg
from playwright.sync_api import Page, sync_playwright

from bench import harness
from bench.figures import Figure, Row, Runs, rounded
from bench.report import Sheet
from stack.errors import StackError

SECONDS, PEER, TIMES = "first paint, s", "Airflow's list of DAGs", 9
RUN = "00000000-0000-4000-8000-000000000001"
INGEST = "millrace/ingest/ingest.html#/"
VIEWS = {
    PEER: "dags", "Ingest: datasets": INGEST, "Ingest: runs": f"{INGEST}runs", "Ingest: a run": f"{INGEST}runs/{RUN}",
    "Ingest: rejected rows": f"{INGEST}rejected", "Ingest: rejected rows of a run": f"{INGEST}rejected?run={RUN}",
    "Ingest: a dataset": f"{INGEST}datasets/orders", "Images": "millrace/images.html",
    "Memory": "millrace/memory/memory.html",
}  # fmt: skip
# Our pages mark the moment when what they were opened for is drawn; Airflow's list is there when a DAG is.
SHOWN = """wanted => {
    const mark = performance.getEntriesByName('shown')[0];
    if (mark || document.querySelector(wanted)) window.seconds ??= (mark ? mark.startTime : performance.now()) / 1000;
    return window.seconds;
}"""
PAST = """
INSERT INTO millrace.ingest_run (run_id, dataset, target, status, file, bytes, fingerprint, dataset_fingerprint,
    version, chunks, read, inserted, updated, unchanged, superseded, stale, rejected, deleted, started_at, finished_at)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'orders', 'public.orders', 'done',
    '/inbox/orders/' || n || '.csv', 1e9, md5(n::text), 'same', now() - n * interval '1 day', 1, 1e6 + bad, 5e5, 5e5, 0,
    0, 0, bad, 0, now() - n * interval '1 day', now() - n * interval '1430 minutes'
FROM generate_series(1, 1000) AS n, LATERAL (SELECT CASE n WHEN 1 THEN %(rejected)s ELSE 0 END AS bad) AS b;
INSERT INTO millrace.rejected_row
SELECT %(run)s, '/inbox/orders/1.csv', n + 1, n * 60, 'amount', '-3',
    (ARRAY['min', 'type', 'allowed'])[1 + n %% 3], 'below 0', n || ',1,2026-11-29T10:00:00Z,paid,EUR,-3,1', 0
FROM generate_series(1, %(rejected)s) AS n;
WITH source AS (INSERT INTO millrace.image_source (digest, bytes, state, finished_at)
    SELECT encode(sha256(n::text::bytea), 'hex'), 1000, 'done', now() FROM generate_series(1, 10000) AS n
    RETURNING digest)
INSERT INTO millrace.image (image_id, digest, owner, file_name)
SELECT gen_random_uuid(), digest, 'admin', left(digest, 8) || '.jpg' FROM source;
INSERT INTO millrace.memory_sample (host, pid, start_ticks, taken_at, role, age_seconds, resident_bytes,
    anonymous_bytes, swap_bytes, unique_bytes, threads, unreadable)
SELECT 'host-' || pid / 5, pid, 1000, now() - look * interval '1 minute', 'worker', 3e6 - look * 60, 2e8, 1e8, 0,
    1e8 + look, 4, '{}' FROM generate_series(1, 15) AS pid, generate_series(0, 30 * 1440) AS look;
"""


@contextmanager
def browser(bench: harness.Bench) -> Iterator[Page]:
    """A page in Chromium, logged in as `admin`. StackError without one."""
    settings, found = bench.place.settings, shutil.which("chromium")
    if not found:
        raise StackError("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]).new_page()
        page.goto(f"{settings.url}/auth/login")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(settings.secrets.admin)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        yield page


def opened(page: Page, address: str) -> Row:
    """Come to a view from elsewhere, and wait until it is drawn."""
    page.goto("about:blank")
    page.goto(address)
    return {SECONDS: page.wait_for_function(SHOWN, arg="a[href^='/dags/']", polling="raf").json_value()}


def measure(bench: harness.Bench) -> Runs:
    """Write the past, and open all views in turn."""
    runs, rejected = Runs(), 50_000 if bench.quick else 1_000_000
    with psycopg.connect(bench.place.dsn("warehouse"), autocommit=True) as connection:
        connection.execute("TRUNCATE millrace.ingest_run, millrace.image_source, millrace.memory_sample CASCADE")
        psycopg.ClientCursor(connection).execute(PAST, {"rejected": rejected, "run": RUN})
        connection.execute("VACUUM ANALYZE")
    with browser(bench) as page:
        url = bench.place.settings.url
        views = {name: partial(opened, page, f"{url}/{path}") for name, path in VIEWS.items()}
        runs.take_turns(views, 3 if bench.quick else TIMES, warm_up=1)
    return runs


def sheets(runs: Runs) -> list[Sheet]:
    """The median of each view."""
    rows: dict[str, Row] = {
        name: {SECONDS: rounded(runs.median(name, SECONDS), 3), "of Airflow's": runs.ratio(name, PEER, SECONDS)}
        for name in VIEWS
    }
    return [Sheet.of("First paint", "view", rows)]


def figures(runs: Runs | None) -> list[Figure]:
    """The slowest view."""
    slowest = max((runs.median(name, SECONDS) or 0 for name in VIEWS if name != PEER), default=None) if runs else None
    return [Figure("first paint of the slowest view, s", rounded(slowest, 3), 1.0, 0.3, unit="s", full_size=True)]


class Bench(harness.Bench):
    """The benchmark of the pages."""

    name = "pages"
    parts: ClassVar[harness.Parts] = {"first paint": [harness.PartOf(measure, sheets, figures)]}
    packages = ("apache-airflow", "playwright")
    busy_means = "all figures are larger"
