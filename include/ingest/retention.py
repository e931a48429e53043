"""Deletes what is old in the ledger, and nothing that a later run is compared with.

| kept, however old | because |
| --- | --- |
| the last run that wrote to a table, with its rejected rows | the next file is compared with its file (decisions 5, 7 and 18) |
| the last done run of a dataset with a header | columns that come and go are told by it |
| the newest run of a dataset that did not fail | the page shows it |
| a run under way, and one that waits | it goes on |
| a run with rejected rows | they are replayed with its version and layout (decision 20) |
| a run that a kept one replays or confirms | it is shown, and bounds how much a replay may reject |

What a table is known to hold (`held_key`, `held_version`, `appended_file`, `ingest_target`) is the table's and not a
run's: it is never deleted here, so an old file that comes after a newer one is still known to be old (decision 4).
Content that came so long ago that its run is gone is loaded once more, which changes no row that is right; but such a
run does emit the asset's event, and warns of stale rows.
"""  # noqa: E501

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString

from psycopg import Connection

from include.ingest.ledger import MERGED_BY
from include.warehouse.batches import days_ago, delete

BATCH_RUNS = 200  # with each go its chunks, up to a thousand

# Runs that the next one is compared with: chosen as `ledger.last_run`, `last_done` and `last_header` choose.
_COMPARED: LiteralString = f"""
    (SELECT DISTINCT ON (target, target_oid) run_id FROM millrace.ingest_run
    WHERE status = 'done' AND confirms IS NULL ORDER BY target, target_oid, {MERGED_BY} DESC)
    UNION ALL
    (SELECT DISTINCT ON (dataset) run_id FROM millrace.ingest_run
    WHERE status = 'done' AND header IS NOT NULL ORDER BY dataset, {MERGED_BY} DESC)
"""
_NEWEST: LiteralString = """
    (SELECT DISTINCT ON (dataset) run_id FROM millrace.ingest_run
    WHERE status <> 'failed' ORDER BY dataset, started_at DESC)
"""
# Its age is that of the last thing that happened to it: its run, its replay, or what somebody did with it.
_ROW: LiteralString = """
    t.run_id = %(run_id)s AND (t.state <> 'open') = %(settled)s
    AND NOT EXISTS (SELECT FROM millrace.rejected_row_change c WHERE c.rejected_id = t.id AND c.at > %(before)s)
    AND NOT EXISTS (SELECT FROM millrace.ingest_run p WHERE p.run_id = t.replay_run AND p.started_at > %(before)s)
"""
_RUN: LiteralString = f"""
    coalesce(t.finished_at, t.started_at) < %(before)s AND t.status IN ('done', 'skipped', 'failed')
    AND t.run_id NOT IN ({_COMPARED} UNION ALL {_NEWEST})
    AND NOT EXISTS (SELECT FROM millrace.rejected_row j WHERE j.run_id = t.run_id)
    AND NOT EXISTS (SELECT FROM millrace.ingest_run o WHERE o.replay_of = t.run_id)
    AND NOT EXISTS (SELECT FROM millrace.ingest_run o WHERE o.confirms = t.run_id)
"""
_REQUEST: LiteralString = """
    coalesce(t.finished_at, t.asked_at) < %(before)s
    AND NOT EXISTS (SELECT FROM millrace.ingest_run o WHERE o.replay_request = t.id)
"""


def forget_rejected(connection: Connection[Any], days: int, open_days: int) -> int:
    """Delete rejected rows, with who changed what, that are settled and so many days old; open ones after `open_days`.

    Those of a run that failed are settled: it can't be replayed, its file comes again whole. 0 days keep for ever.
    """
    deleted = 0
    for run_id, status in _runs_with_rejects(connection):
        for settled, kept in ((True, days), (False, days if status == "failed" else open_days)):
            if kept and _ended_before(connection, run_id, before := days_ago(kept)):
                values = {"run_id": run_id, "settled": settled, "before": before}
                deleted += delete(connection, "millrace.rejected_row", _ROW, values)
    return deleted


def forget_runs(connection: Connection[Any], days: int) -> dict[str, int]:
    """Delete runs that ended so many days ago and that nothing needs, and requests for replays; returns how many."""
    if not days:
        return {"runs": 0, "requests": 0}
    values, runs = {"before": days_ago(days)}, 0
    # A run that was replayed goes only after its replay: as many passes as replays of replays are deep.
    while gone := delete(connection, "millrace.ingest_run", _RUN, values, BATCH_RUNS):
        runs += gone
    return {"runs": runs, "requests": delete(connection, "millrace.replay_request", _REQUEST, values)}


def _runs_with_rejects(connection: Connection[Any]) -> list[tuple[Any, str]]:
    """Ended runs that hold rejected rows and that no later run is compared with."""
    return connection.execute(
        "SELECT r.run_id, r.status FROM millrace.ingest_run r WHERE r.status IN ('done', 'skipped', 'failed')"
        " AND EXISTS (SELECT FROM millrace.rejected_row j WHERE j.run_id = r.run_id)"
        f" AND r.run_id NOT IN ({_COMPARED})"
    ).fetchall()


def _ended_before(connection: Connection[Any], run_id: Any, before: datetime) -> bool:
    """Whether the run is over, and has been since then: it may have been cleared since it was listed."""
    return bool(
        connection.execute(
            "SELECT FROM millrace.ingest_run WHERE run_id = %s AND status IN ('done', 'skipped', 'failed')"
            " AND coalesce(finished_at, started_at) < %s",
            [run_id, before],
        ).rowcount
    )
