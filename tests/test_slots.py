"""How workers' slots are shared."""

from __future__ import annotations

import pytest

from include import slots


def test_every_kind_has_slots_and_one_is_left() -> None:
    for total in range(slots.LEAST, 200):
        found = slots.split(total)
        assert set(found) == set(slots.KINDS)
        assert min(found.values()) >= 1
        assert sum(found.values()) == total - 1
        assert 0 <= found["ingest"] - found["images"] <= 1


def test_too_few_slots_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="AIRFLOW__CORE__PARALLELISM is 3: 4 slots are needed"):
        slots.pools({"AIRFLOW__CORE__PARALLELISM": "3"})


def test_a_queue_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_QUEUE_IMAGES", raising=False)
    assert slots.place("images") == {"pool": "images", "queue": "default", "weight_rule": "absolute"}
    monkeypatch.setenv("MILLRACE_QUEUE_IMAGES", "pictures")
    assert slots.place("images")["queue"] == "pictures"
