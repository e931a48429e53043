"""The demo's workers in fast motion, as they come to the page: real processes, one of which leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psycopg import Connection

from include.memory import audit, fast_motion, history
from include.memory.verdict import time_lapse
from include.memory.watcher import exchange
from stack.demo.memory import ROLE, started
from tests.memory.test_api import answers, path

SECONDS = 8.0


def test_the_leak_of_the_demo_is_on_the_page_and_raises_no_alert(
    dsn: str, warehouse: Connection[Any], tmp_path: Path
) -> None:
    exchange.make_private(tmp_path / "agents")
    with started("leaky", tmp_path / "agents") as leaky:
        found = time_lapse.audit(leaky, SECONDS, 2.0)
    assert found.said.verdict == "leaking"
    for _ in range(2):  # a later demo takes the place of an earlier one
        fast_motion.forget(warehouse, ROLE)
        fast_motion.keep(warehouse, ROLE, found, SECONDS)
    assert history.flag(warehouse, "scheduled__1") == [], "an alert that nobody can help"
    assert audit.judge_all(warehouse, 48) == [], "it is not judged as if these had been hours"
    listing, one = answers(dsn, ["/processes", path(leaky.incarnation)])
    (shown,) = listing.json()["processes"]
    assert (shown["role"], shown["verdict"], shown["ended"]) == ("demo", "leaking", True)
    assert shown["why"].startswith("In fast motion: 8 seconds stand for 5 hours. ")
    story = one.json()
    assert len(story["points"]["at"]) > 30
    (profile,) = story["profiles"]
    evidence = answers(dsn, [path(leaky.incarnation, f"/evidence/{profile['evidence_id']}")])[0].json()["evidence"]
    assert "samples/workers.py" in evidence["traced"]["lines"][0]["frames"][0]
    assert history.verdicts(warehouse) == {}
