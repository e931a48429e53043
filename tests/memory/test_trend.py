"""Slopes and their intervals, floors, and when a series counts as rising."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from include.memory.verdict.suspicion import rising
from include.memory.verdict.trend import effective, floor, rise, slope


def test_the_interval_holds_the_true_slope_as_often_as_it_says_even_with_memory_in_the_noise() -> None:
    x = np.arange(60.0)
    held = narrow = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        noise = np.zeros(60)
        for place in range(1, 60):
            noise[place] = 0.7 * noise[place - 1] + rng.normal()
        y = 0.2 * x + noise
        found, plain = slope(x, y), stats.theilslopes(y, x)
        held += found.low <= 0.2 <= found.high
        narrow += plain.low_slope <= 0.2 <= plain.high_slope
    assert held >= 85
    assert held > narrow + 15, "the plain interval is too narrow for such noise"


def test_independent_points_count_fully_and_equal_ones_hardly() -> None:
    rng = np.random.default_rng(3)
    assert effective(rng.normal(size=200)) > 150
    assert effective(np.repeat(rng.normal(size=20), 10)) < 40
    assert effective(np.zeros(5)) == 5


def test_the_floor_is_the_lowest_of_each_stretch_and_leaves_gaps_out() -> None:
    hours = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 5.0])
    x, y = floor(hours, np.array([3.0, 1.0, 2.0, 7.0, 5.0, 9.0]), 1.0)
    assert x == pytest.approx([0.5, 1.5, 5.5])
    assert y == pytest.approx([1.0, 5.0, 9.0])
    assert rise(np.array([1.0, 1.0, 5.0, 5.0, 9.0, 9.0])) == 8


def test_a_rise_must_be_material_and_sure() -> None:
    rng = np.random.default_rng(4)
    hours = np.arange(1, 121) / 12
    noise = rng.normal(0, 0.3, 120)
    assert rising(hours, 100 + noise, 1.0) is None
    assert rising(hours, 100 + 0.05 * hours + noise, 1.0) is None, "half a unit in ten hours is not material"
    found = rising(hours, 100 + hours + noise, 1.0)
    assert found is not None
    assert found.slope.rate == pytest.approx(1.0, abs=0.3)
    assert found.window_hours == 2.5, "the shortest window that shows it"
    assert rising(hours, 100 + 20 * np.exp(-hours) + noise, 1.0) is None
