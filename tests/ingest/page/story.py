"""A warehouse with a past: seven datasets, a thousand runs, and as many rejected rows as asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from tests.ingest.loading import make_dataset

RUNS = 1_000
LOADING = UUID("00000000-0000-4000-8000-000000000001")
REJECTING = UUID("00000000-0000-4000-8000-000000000002")
FAILED = UUID("00000000-0000-4000-8000-000000000003")
WAITING = UUID("00000000-0000-4000-8000-000000000004")
BY_HAND = UUID("00000000-0000-4000-8000-000000000005")
CHUNK = 256_000_000
CHUNKS = 8

FILE = """
name: {name}
description: {description}
source: "{{{{ inbox }}}}/{name}/{name}_{{{{ ds }}}}.csv"
target: shop.{name}
key: [id]
columns:
  id: {{type: bigint}}
  email: {{type: text, nullable: true, trim: true}}
  status: {{type: text, allowed: [new, paid, shipped]}}
  amount: {{type: "numeric(10,2)", min: 0}}
  placed_at: {{type: timestamptz, source: "placed at"}}
reject_limit: {{rows: null, ratio: 0.2}}
{more}
"""
WORDS = {
    "orders": "Orders of the web shop, one file a day.",
    "customers": "Customers from the CRM.",
    "prices": "Price list of the supplier, every night.",
    "clicks": "Clicks of the site, 2 GB a day.",
    "stock": "Stock of the warehouses.",
    "returns": "Returned parcels.",
}
PLAN = {"positions": [0, 1, 2, 3, 4], "fields": 6, "chunks": []}


def write_files(folder: Path) -> None:
    """The dataset files: six good ones, and one with a typo."""
    for name, said in WORDS.items():
        more = "schedule: null" if name == "returns" else "start_date: 2025-01-01"
        make_dataset(folder, FILE.format(name=name, description=said, more=more).lstrip())
    (folder / "coupons.yaml").write_text("name: coupons\nsource: x.csv\ntarget: shop.coupons\nkeys: [id]\n")


def tell(connection: Connection[Any], rejected: int = 300) -> None:
    """Write the past. `rejected` rows are those of one run."""
    _history(connection)
    _last_days(connection)
    _rejected(connection, rejected)
    _profiles(connection)
    connection.execute("ANALYZE millrace.ingest_run, millrace.ingest_chunk, millrace.rejected_row")


def _history(connection: Connection[Any]) -> None:
    """Five datasets, a run a day for 200 days; the numbers go up and down over a week."""
    connection.execute(
        """
        INSERT INTO millrace.ingest_run (run_id, dataset, target, airflow_run, status, reason, file, bytes, fingerprint,
            dataset_fingerprint, version, chunks, plan, read, inserted, updated, unchanged, superseded, stale, rejected,
            deleted, started_at, finished_at, plan_seconds, merge_seconds)
        SELECT gen_random_uuid(), name, 'shop.' || name,
            'ingest_' || name || '/scheduled__' || to_char(day, 'YYYY-MM-DD') || 'T00:00:00+00:00', 'done', NULL,
            '/var/lib/millrace/inbox/' || name || '/' || name || '_' || to_char(day, 'YYYY-MM-DD') || '.csv',
            rows * 90, md5(name || day), 'same', day, 1, %(plan)s, rows, rows / 4, rows / 8,
            rows - rows / 4 - rows / 8 - rows / 50,
            rows / 50, 0, 0, 0, day + interval '1 day 3 minutes', day + interval '1 day 5 minutes', 6.5, 21.4
        FROM unnest(%(names)s::text []) WITH ORDINALITY AS d (name, place)
        CROSS JOIN generate_series(1, %(days)s) AS ago
        CROSS JOIN LATERAL (
            SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - (ago + 1) * interval '1 day' AS day
        ) d1
        CROSS JOIN LATERAL (SELECT (400000 * place + 60000 * (2 + sin(ago)) * place)::bigint AS rows) r
        WHERE NOT (name = 'prices' AND ago < 3)
        """,
        {"names": ["orders", "customers", "prices", "clicks", "stock"], "days": RUNS // 5, "plan": json.dumps(PLAN)},
    )


RUN = """
INSERT INTO millrace.ingest_run (run_id, dataset, target, airflow_run, status, reason, file, bytes, fingerprint,
    dataset_fingerprint, version, chunks, plan, read, inserted, updated, unchanged, superseded, stale, rejected,
    deleted, started_at, finished_at, plan_seconds, merge_seconds)
SELECT %(run_id)s, %(dataset)s, 'shop.' || %(dataset)s, %(airflow_run)s, %(status)s, %(reason)s,
    '/var/lib/millrace/inbox/' || %(dataset)s || '/' || %(dataset)s || '_' || to_char(day, 'YYYY-MM-DD') || '.csv',
    %(bytes)s, md5(%(run_id)s::text), 'changed', day, %(chunks)s, %(plan)s, %(read)s, %(inserted)s, %(updated)s,
    %(unchanged)s,
    %(superseded)s, %(stale)s, %(rejected)s, 0, now() - %(ago)s * interval '1 second',
    CASE WHEN %(took)s::float8 IS NULL THEN NULL ELSE now() - (%(ago)s - %(took)s) * interval '1 second' END,
    %(plan_seconds)s, %(merge_seconds)s
FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 day' AS day) d
"""
NOTHING = dict.fromkeys(
    ("airflow_run", "reason", "bytes", "chunks", "plan", "read", "inserted", "updated", "unchanged", "superseded",
     "stale", "rejected", "took", "plan_seconds", "merge_seconds")
)  # fmt: skip


def _last_days(connection: Connection[Any]) -> None:
    chunks = [
        {"number": n, "offset": 100 + n * CHUNK, "length": CHUNK, "first_line": 2 + n * 2_000_000}
        for n in range(CHUNKS)
    ]
    plan = json.dumps({**PLAN, "chunks": chunks})
    one = {"bytes": 40_000_000, "chunks": 1, "plan": plan, "plan_seconds": 4.2}
    counts = {"inserted": 290_000, "updated": 80_000, "unchanged": 130_000, "superseded": 9_000, "stale": 0}
    for values in (
        {"run_id": REJECTING, "dataset": "orders", "status": "done", "ago": 7_200, "took": 95, "merge_seconds": 30.5,
         "airflow_run": "ingest_orders/scheduled__2026-11-29T00:00:00+00:00", **one, **counts, "read": None,
         "chunks": CHUNKS, "bytes": CHUNK * CHUNKS},
        {"run_id": FAILED, "dataset": "customers", "status": "failed", "ago": 5_400, "took": 12,
         "airflow_run": "ingest_customers/manual__2026-11-29T08:00:00+00:00", **one,
         "reason": "/var/lib/millrace/inbox/customers/customers.csv: 46,000 of 200,000 rows were rejected: over the"
         " limit of 20 %. Nothing was changed in the target."},
        {"run_id": WAITING, "dataset": "prices", "status": "waiting", "ago": 5 * 3_600,
         "airflow_run": "ingest_prices/scheduled__2026-11-29T00:00:00+00:00"},
        {"run_id": LOADING, "dataset": "clicks", "status": "planned", "ago": 40, **one, "chunks": CHUNKS,
         "bytes": CHUNK * CHUNKS, "airflow_run": "ingest_clicks/scheduled__2026-11-29T00:00:00+00:00"},
        {"run_id": BY_HAND, "dataset": "stock", "status": "done", "ago": 9_000, "took": 40, "merge_seconds": 8.0, **one,
         "read": 200, "inserted": 0, "updated": 0, "unchanged": 0, "superseded": 200, "stale": 200, "rejected": 0,
         "reason": "200 of 200 rows are older than the table's, and changed nothing"},
    ):  # fmt: skip
        if values["run_id"] == REJECTING:
            values |= {"rejected": 1, "read": sum(counts.values()) + 1}
        connection.execute(RUN, {**NOTHING, **values})
    connection.execute(
        "UPDATE millrace.ingest_run SET unknown_columns = '{coupon, utm_source}', unknown_policy = 'ignore',"
        " columns_come = '{utm_source}', columns_gone = '{}' WHERE run_id = %s",
        [REJECTING],
    )
    _chunks(connection, LOADING, 3, 34)
    _chunks(connection, REJECTING, CHUNKS, 7_190)


def _profiles(connection: Connection[Any]) -> None:
    """What the columns of orders held in its last runs: more and more e-mails miss, and today there is a new status."""
    found = connection.execute(
        "SELECT run_id, read FROM millrace.ingest_run WHERE dataset = 'orders' ORDER BY started_at DESC LIMIT 40"
    ).fetchall()
    for ago, (run_id, read) in enumerate(found):
        missing = 0.02 + (0.09 if not ago else 0.01 * (ago % 7) / 7)
        values = {"new": read // 2, "paid": read // 3, "packed": read // 12, "shipped": read // 12}
        values |= {"<b>held</b>": 9_000, "": 300} if not ago else {"returned": 8_000}
        columns = [
            {"name": "id", "type": "bigint", "null_share": 0.0, "distinct": 5_600, "values": None,
             "least": "1000017", "greatest": "41399210"},
            {"name": "email", "type": "text", "null_share": missing, "distinct": 5_120, "values": None,
             "least": None, "greatest": None},
            {"name": "status", "type": "text", "null_share": 0.0, "distinct": len(values), "values": values,
             "least": None, "greatest": None},
            {"name": "amount", "type": "numeric(10,2)", "null_share": 0.0, "distinct": 4_871, "values": None,
             "least": "0.10", "greatest": "9421.55"},
            {"name": "placed_at", "type": "timestamptz", "null_share": 0.0, "distinct": 5_580, "values": None,
             "least": "2026-11-28 00:00:04+00", "greatest": "2026-11-28 23:59:51+00"},
        ]  # fmt: skip
        connection.execute(
            "INSERT INTO millrace.ingest_profile VALUES (%s, -1, %s, 5622, 5620, %s)",
            [run_id, read, json.dumps(columns)],
        )


def _chunks(connection: Connection[Any], run_id: UUID, number: int, ago: float) -> None:
    """Chunks that were loaded two at a time, each in about 14 seconds."""
    connection.execute(
        "INSERT INTO millrace.ingest_chunk (run_id, chunk, byte_offset, bytes, first_line, read, rejected, written_by,"
        " seconds, loaded_at)"
        " SELECT %s, n, 100 + n * %s::bigint, %s, 2 + n * 2000000, 2000000, 0, pg_current_xact_id(), 12 + n %% 3,"
        " now() - (%s - (n / 2 + 1) * 14) * interval '1 second' FROM generate_series(0, %s) AS n",
        [run_id, CHUNK, CHUNK, ago, number - 1],
    )


def _rejected(connection: Connection[Any], number: int) -> None:
    connection.execute(
        """
        INSERT INTO millrace.rejected_row
        SELECT %(run_id)s, '/var/lib/millrace/inbox/orders/orders_2026-11-29.csv', 2 + n * 3, 120 + n * 61,
            (ARRAY['amount', 'amount', 'placed_at', 'status', NULL])[1 + kind],
            (ARRAY['-3', '12,50', '2026-13-01', 'lost', NULL])[1 + kind],
            (ARRAY['min', 'type', 'type', 'allowed', 'fields'])[1 + kind],
            (ARRAY['below 0', 'not a number', 'not a timestamp', 'not one of new, paid, shipped',
                'has 3 fields, not 5'])[1 + kind],
            (ARRAY[
                '-3,"Doe, Jane",paid,-3,2026-11-29T10:00:00Z', '7,jane@example.org,paid,"12,50",2026-11-29T10:00:00Z',
                '7,jane@example.org,paid,12.50,2026-13-01',
                '7,<img src=x onerror=alert(1)>,lost,12.50,2026-11-29T10:00:00Z',
                '7,jane@example.org,paid'])[1 + kind],
            (n / 125000)::integer
        FROM generate_series(1, %(number)s) AS n CROSS JOIN LATERAL (SELECT (n %% 5)::integer AS kind) k
        """,
        {"run_id": REJECTING, "number": number},
    )
    connection.execute(
        "UPDATE millrace.ingest_run SET rejected = %s, read = read - rejected + %s WHERE run_id = %s",
        [number, number, REJECTING],
    )
    connection.execute(
        "UPDATE millrace.ingest_chunk SET rejected = %s / %s WHERE run_id = %s", [number, CHUNKS, REJECTING]
    )
    connection.execute(
        "INSERT INTO millrace.rejected_row SELECT %s, '/var/lib/millrace/inbox/customers/customers.csv', n, n * 40,"
        " 'email', 'nobody', 'pattern', 'does not match', '7,nobody,new,1,2026-01-01', 0 FROM generate_series(2, 21) n",
        [FAILED],
    )
    connection.execute(
        "INSERT INTO millrace.ingest_chunk (run_id, chunk, byte_offset, bytes, first_line, read, rejected, written_by,"
        " seconds) VALUES (%s, 0, 0, 40000000, 2, 200000, 20, pg_current_xact_id(), 6)",
        [FAILED],
    )


@contextmanager
def loading(dsn: str, *done: int) -> Iterator[None]:
    """Sessions that load the chunks from number 3 on, and have read so many bytes of each."""
    sessions = []
    try:
        for number, loaded in enumerate(done):
            session = psycopg.connect(dsn)
            sessions.append(session)
            name = f"millrace {LOADING.hex} {3 + number} {loaded}"
            session.execute("SELECT set_config('application_name', %s, true)", [name])
        yield
    finally:
        for session in sessions:
            session.close()
