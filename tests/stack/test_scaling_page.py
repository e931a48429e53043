"""The page on scaling says what the model computes from the committed results."""

from __future__ import annotations

import json
from pathlib import Path

from bench.scale import model

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_page_has_the_tables_of_the_model() -> None:
    told = PAGE.read_text().partition("<!-- model -->\n")[2].partition("\n<!-- end -->")[0]
    assert told == model.tables(json.loads(model.MEASURED.read_text()))


def test_half_the_time_takes_twice_the_cores() -> None:
    cost = model.Cost("some", tasks_cpu_seconds=7.0, server_cpu_seconds=14.0, wal_gb=1.5, merge_seconds=3.6)
    day, night = model.need(cost, 1000, 24), model.need(cost, 1000, 12)
    assert (round(day.worker_cores, 3), day.wal_gb, day.merge_hours) == (0.116, 1500, 1.0)
    assert night.server_cores == 2 * day.server_cores
