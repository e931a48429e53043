"""What the agent finds in its own process: counters always, and on request lines, types, holders and chains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from include.memory.inside import census, chains, counters, trace_window
from include.memory.inside.census import Census, GrowingType
from include.memory.inside.counters import Counters
from include.memory.inside.frozen_objects import frozen
from include.memory.inside.links import describe
from include.memory.inside.time_slices import OutOfTime, Pace
from include.memory.inside.trace_window import Traced
from include.memory.verdict.cache_bound import Bound
from include.memory.watcher.exchange import Ask

CENSUS_SECONDS = 60.0  # beyond the window, to count all objects in slices


@dataclass(frozen=True)
class Holder:
    """A container that has grown, or an object of a growing type, and the chain from a root to it.

    `bytes` is about what the new entries of a container hold.
    """

    what: str
    before: int
    after: int
    chain: tuple[str, ...]
    complete: bool
    bound: Bound | None
    bytes: int | None = None


@dataclass(frozen=True)
class Evidence:
    """An answer. `counters` are those at the end, `first` those at the beginning of a profile."""

    counters: Counters
    longest_pause_seconds: float
    longest_pause_in: str
    first: Counters | None = None
    traced: Traced | None = None
    types: tuple[GrowingType, ...] = ()
    holders: tuple[Holder, ...] = ()
    notes: tuple[str, ...] = ()


def gather(question: Ask) -> Evidence:
    """Do what is asked, in slices."""
    pace = Pace(question.seconds + CENSUS_SECONDS)
    first = counters.read(pace, collect=question.collect, longest_pause_seconds=question.longest_pause_seconds)
    if question.act == "count":
        return Evidence(first, pace.longest_pause_seconds, pace.longest_pause_in)
    return _profile(question, pace, first)


def _profile(question: Ask, pace: Pace, first: Counters) -> Evidence:
    notes: list[str] = []
    try:
        pace.frozen = frozen(pace)
    except OutOfTime:
        notes.append("there are too many frozen objects to be found in the time allowed")
    before = _census(pace, notes)
    traced = trace_window.trace(
        pace,
        seconds=question.seconds,
        parts=question.parts,
        frames=question.frames,
        most_bytes=question.most_trace_bytes,
        top=question.top,
    )
    last = counters.read(pace, collect=question.collect, longest_pause_seconds=question.longest_pause_seconds)
    after = _census(pace, notes) if before else None
    types: list[tuple[type, GrowingType]] = []
    holders: list[Holder] = []
    if before and after:
        types = census.growing_types(before, after, question.top)
        holders = _holders(question, pace, before, after, types, notes)
    return Evidence(
        counters=last,
        longest_pause_seconds=pace.longest_pause_seconds,
        longest_pause_in=pace.longest_pause_in,
        first=first,
        traced=traced,
        types=tuple(growing for _, growing in types),
        holders=tuple(holders),
        notes=tuple(notes),
    )


def _census(pace: Pace, notes: list[str]) -> Census | None:
    try:
        return census.take(pace)
    except OutOfTime:
        notes.append("the heap is too large to be counted in the time allowed")
        return None


def _holders(
    question: Ask, pace: Pace, before: Census, after: Census, types: list[tuple[type, GrowingType]], notes: list[str]
) -> list[Holder]:
    """Chains to the containers that grew most, then to one new object of each growing type that none of them
    explains.
    """
    found: list[Holder] = []
    search = Pace(question.chain_seconds)
    search.frozen = pace.frozen
    try:
        for grown in census.grown_containers(before, after, search, question.chains):
            holder = _holder(grown.container, describe(grown.container), grown.before, grown.after, search)
            found.append(replace(holder, bytes=grown.bytes))
        kinds = [kind for kind, _ in types if kind not in (dict, list, tuple, set)][: question.chains]
        made = census.newest(kinds, search)
        for kind, growing in types:
            if kind in made:
                found.append(_holder(made[kind].one, growing.name, growing.before, growing.after, search))
    except OutOfTime:
        notes.append("the search for holders ended with its time")
    if search.longest_pause_seconds > pace.longest_pause_seconds:
        pace.longest_pause_seconds, pace.longest_pause_in = search.longest_pause_seconds, search.longest_pause_in
    return found


def _holder(target: Any, what: str, before: int, after: int, pace: Pace) -> Holder:
    chain = chains.find(target, pace)
    links = tuple(f"{link.via} {link.what}".strip() for link in chain.links)
    return Holder(what, before, after, links, chain.complete, chain.bound)
