"""Does a curve that levels off explain the growth? A leak goes on; a cache fills, a warm-up ends, load comes and goes.

A counter is explained twice, by non-negative least squares: by what an innocent process does (steps, memory in step
with the load, growth that levels off with any time constant up to three times the length of the observation), and by
the same with a ramp that goes on. `odds` is the F ratio of the two, with the degrees of freedom cut by
autocorrelation. Growth may have begun at any time, and may follow the clock or the work done: each side chooses what
suits it best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from include.memory.verdict.series import Floats
from include.memory.verdict.trend import effective

LONGEST_FILL = 3.0  # time constants that count as levelling off, in lengths of the observation
LONGEST_FILL_HOURS = 48.0
SLOWING_POWERS = 0.4, 0.65
EARLY_FILL = 0.67  # time constants of what filled before the onset, in lengths of the time before it
SHORTEST_FILL_HOURS = 0.5
DAILY_FROM_HOURS = 36.0
ONSET_FILLS_HOURS = 2.0, 8.0
STEPS = 2
LAST_PART = 0.2
LEAST_AFTER_ONSET = 6  # points
JITTER = 2e-4  # of the level: noise that no counter is free of


@dataclass(frozen=True, eq=False)
class Points:
    """A counter to be explained. `load` is the work per hour at each point; `raw` marks looks without a collection."""

    hours: Floats
    values: Floats
    weights: Floats
    raw: Floats
    load: Floats | None = None


@dataclass(frozen=True)
class Explained:
    """The best explanation with a ramp, and how much better it is than the best without.

    `rise` is what growth has added since it began, in units of the counter, without load and steps; `rate` per hour
    is that of its last fifth, `lasting` the same in rates of the whole: 1 for a straight line, near 0 for a full cache.
    `load_share` is the part of all that rose which follows the load.
    """

    odds: float
    since_hours: float
    rate: float
    rise: float
    lasting: float
    load_share: float


@dataclass(frozen=True, eq=False)
class _Fit:
    error: float
    columns: Floats
    names: Sequence[str]
    factors: Floats
    residuals: Floats
    since: int
    axis: Floats

    def part(self, *names: str) -> Floats:
        """What the columns of these names contribute at each point."""
        chosen = [number for number, other in enumerate(self.names) if other in names]
        return np.asarray(self.columns[:, chosen] @ self.factors[chosen])


def explain(points: Points) -> Explained:
    """Explain a counter with and without a ramp that goes on."""
    unsigned = _unsigned(points)
    shared, names = _shared(points)
    innocent, leaking = [], []
    for axis in _axes(points):
        for since in _onsets(points, axis, unsigned, shared):
            columns, more = _saturating(axis, since)
            kept = [*names, *more]
            innocent.append(_fit(points, unsigned, np.column_stack([*shared, *columns]), kept, axis, since))
            ramp = np.maximum(axis - axis[since], 0.0)
            further = np.column_stack([*shared, *columns, ramp, ramp**2])
            leaking.append(_fit(points, unsigned, further, [*kept, "ramp", "ramp"], axis, since))
    return _compare(points, min(innocent, key=lambda fit: fit.error), min(leaking, key=lambda fit: fit.error))


def _compare(points: Points, innocent: _Fit, leaking: _Fit) -> Explained:
    count = len(points.hours)
    used = np.count_nonzero(leaking.factors) + 1
    freedom = max(effective(leaking.residuals) * (1 - used / count), 2.0)
    noise = leaking.error + count * (JITTER * float(np.abs(points.values).mean())) ** 2
    extra = sum(factor > 0 for factor, name in zip(leaking.factors, leaking.names, strict=True) if name == "ramp")
    odds = max(innocent.error - leaking.error, 0.0) / max(extra, 1) / (noise / freedom)
    since, axis = leaking.since, leaking.axis
    grown = leaking.part("fill", "early fill", "ramp")
    rise = _rise(grown, since)
    load = max(_rise(leaking.part("load", "lagging load"), since), 0.0)
    late = min(int(np.searchsorted(axis, axis[-1] - (axis[-1] - axis[since]) * LAST_PART)), count - 2)
    rate = _rise(grown, late) / float(axis[-1] - axis[late])
    return Explained(
        odds=odds,
        since_hours=float(points.hours[since]),
        rate=rate,
        rise=rise,
        lasting=rate * float(axis[-1] - axis[since]) / rise if rise > 0 else 0.0,
        load_share=load / (load + max(rise, 0.0) + max(_rise(leaking.part("step"), since), 0.0) or 1.0),
    )


def _rise(part: Floats, since: int) -> float:
    return float(part[-1] - part[since])


def _unsigned(points: Points) -> Floats:
    """An orthonormal basis of what may go either way: the level, and a rhythm of a day once one was seen."""
    hours = points.hours
    columns = [np.ones_like(hours)]
    if hours[-1] - hours[0] >= DAILY_FROM_HOURS:
        columns += [np.sin(hours * np.pi / 12), np.cos(hours * np.pi / 12)]
    basis, _ = np.linalg.qr(np.column_stack(columns) * np.sqrt(points.weights)[:, None])
    return np.asarray(basis)


def _shared(points: Points) -> tuple[list[Floats], list[str]]:
    """What both explanations may use: load, load of the hours before, garbage in raw looks, single steps."""
    columns, names = [], []
    if points.load is not None:
        columns += [points.load, _lagging(points.hours, points.load)]
        names += ["load", "lagging load"]
    if 0 < points.raw.sum() < len(points.raw):
        columns.append(points.raw)
        names.append("raw")
    for place in _steps(points.values):
        columns.append((np.arange(len(points.values)) >= place).astype(float))
        names.append("step")
    return columns, names


def _lagging(hours: Floats, load: Floats, memory_hours: float = 3.0) -> Floats:
    lagging = load.copy()
    for place in range(1, len(load)):
        keep = float(np.exp(-(hours[place] - hours[place - 1]) / memory_hours))
        lagging[place] = keep * lagging[place - 1] + (1 - keep) * load[place]
    return lagging


def _steps(values: Floats) -> list[int]:
    """Where the largest upward steps are, if they stand out among all steps."""
    steps = np.diff(values)
    usual = float(np.median(np.abs(steps - np.median(steps)))) * 1.5
    largest = np.argsort(steps)[::-1][:STEPS]
    return [int(place) + 1 for place in largest if steps[place] > max(8 * usual, 0.002 * abs(values[0]))]


def _axes(points: Points) -> Iterator[Floats]:
    """Time, and work done on the scale of time where the load changes enough to make a difference."""
    yield points.hours
    load = points.load
    if load is None or load.mean() <= 0 or load.std() < 0.15 * load.mean():
        return
    done = np.cumsum(np.diff(points.hours, prepend=points.hours[0]) * np.maximum(load, 0.0))
    yield points.hours[0] + done * (points.hours[-1] - points.hours[0]) / done[-1]


def _onsets(points: Points, axis: Floats, unsigned: Floats, shared: list[Floats]) -> list[int]:
    """Where growth may have begun: at the first point, and where a single ramp, or a single curve, fits best."""
    last = len(axis) - LEAST_AFTER_ONSET
    if last <= 1:
        return [0]
    root = np.sqrt(points.weights)
    known = np.column_stack([unsigned, *(column * root for column in shared)]) if shared else unsigned
    basis, _ = np.linalg.qr(known)
    target = points.values * root
    target = target - basis @ (basis.T @ target)
    grown = np.maximum(axis[:, None] - axis[None, : last + 1], 0.0)
    found = {0}
    for shape in (grown, *(-np.expm1(-grown / tau) for tau in ONSET_FILLS_HOURS)):
        columns = shape * root[:, None]
        columns = columns - basis @ (basis.T @ columns)
        gain = np.maximum(columns.T @ target, 0.0) ** 2 / ((columns**2).sum(axis=0) + 1e-12)
        found.add(int(np.argmax(gain)))
    return sorted(found)


def _saturating(axis: Floats, since: int) -> tuple[list[Floats], list[str]]:
    """Curves that level off, or grow ever more slowly, from the onset on; and those that have levelled off before it.

    Exponentials are for caches whose keys are alike, powers for keys that become rarer and rarer.
    """
    observed, before = float(axis[-1] - axis[since]), float(axis[since] - axis[0])
    columns = _fills(axis, since, min(LONGEST_FILL * observed, LONGEST_FILL_HOURS))
    columns += [np.maximum(axis - axis[since], 0.0) ** power for power in SLOWING_POWERS]
    names = ["fill"] * len(columns)
    if before * EARLY_FILL > SHORTEST_FILL_HOURS:
        early = _fills(axis, 0, before * EARLY_FILL)
        columns += early
        names += ["early fill"] * len(early)
    return columns, names


def _fills(axis: Floats, since: int, longest: float) -> list[Floats]:
    longest = max(longest, 2 * SHORTEST_FILL_HOURS)
    count = int(np.ceil(np.log2(longest / SHORTEST_FILL_HOURS))) + 1
    grown = np.maximum(axis - axis[since], 0.0)
    return [-np.expm1(-grown / tau) for tau in np.geomspace(SHORTEST_FILL_HOURS, longest, count)]


def _fit(points: Points, unsigned: Floats, columns: Floats, names: Sequence[str], axis: Floats, since: int) -> _Fit:
    """Non-negative least squares beside what may go either way, which is projected out first."""
    root = np.sqrt(points.weights)
    weighted = columns * root[:, None]
    before = np.sqrt((weighted**2).sum(axis=0))
    weighted = weighted - unsigned @ (unsigned.T @ weighted)
    size = np.sqrt((weighted**2).sum(axis=0))
    size[size <= 1e-6 * before] = np.inf  # a load that never changes explains nothing
    target = points.values * root
    target = target - unsigned @ (unsigned.T @ target)
    factors, _ = optimize.nnls(weighted / size, target, maxiter=50 * len(size))
    residuals = target - (weighted / size) @ factors
    return _Fit(float(residuals @ residuals), columns, names, factors / size, residuals, since, axis)
