"""The campaign's report: what struck, what held, and what each run said that needed a person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.faults import FAULTS
from campaign.round import PICTURES, STRIKE_SECONDS, Round

HEAD = """# The campaign of faults

`sudo ./run campaign {options}` wrote this page. It runs the services of
`docker-compose.yaml` with two workers, as `./run cluster` does, on a copy of the project with disks of limited size.
In each round a file of 60,000 rows with repeated keys, quoted newlines and bad rows goes into one table, in chunks, and
{pictures} pictures are uploaded, one of them torn, while faults strike at random moments of the first {strike:.0f}
seconds. After the round:

- the target's checksum equals that of a model of the table that never saw a database;
- the account balances: read, rejected and superseded rows are those that the file was made with;
- every picture that was answered 202 is done and its renditions can be fetched, or has failed with a reason;
- no staging table, advisory lock, open transaction, planned run or temporary file is left;
- the runs ended by themselves, or failed and said in a line what a person must do; that was done, and they ended well.

**{struck} faults in {rounds} rounds, {minutes:.0f} minutes; {held}.** {pictures_sum:,} pictures were answered 202,
{refused} uploads were refused or cut off, and the client knew. {alone} of {runs} runs ended by themselves, {person}
needed a person.
"""


@dataclass(frozen=True)
class Played:
    """A round, as the report tells of it."""

    number: int
    hits: tuple[tuple[str, str], ...]
    missed: tuple[str, ...]
    pictures: int
    refused: int
    runs: int
    reasons: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float

    @classmethod
    def of(cls, round_: Round, problems: Sequence[str]) -> Played:
        """What is worth telling of a round."""
        return cls(
            round_.number, tuple((fault.name, hit.what) for fault, hit in round_.hits),
            tuple(fault.name for fault in round_.missed), len(round_.pictures), round_.refused, len(round_.runs),
            tuple(run.reason for run in round_.runs if run.reason), tuple(problems), round_.seconds,
        )  # fmt: skip

    @property
    def line(self) -> str:
        """For the terminal."""
        hits = "; ".join(f"{name} ({what})" for name, what in self.hits)
        parts = [f"{self.number:>3} {self.seconds:6.1f} s  {'held' if not self.problems else 'NOT HELD'}  {hits}"]
        parts += [f"      nothing to hit: {name}" for name in self.missed]
        parts += [f"      for a person: {reason}" for reason in self.reasons]
        parts += [f"      PROBLEM: {problem}" for problem in self.problems]
        return "\n".join(parts)


def never_struck(played: Sequence[Played]) -> list[str]:
    """Kinds of fault that were tried more than once and always missed."""
    missed = Counter(name for one in played for name in one.missed)
    struck = {name for one in played for name, _ in one.hits}
    return [name for name, times in missed.items() if times > 1 and name not in struck]


def write(file: Path, played: Sequence[Played], options: str, seconds: float) -> None:
    """Write the report of the rounds so far. `options` are the command's."""
    file.write_text("\n".join(_text(played, options, seconds)) + "\n")


def _text(played: Sequence[Played], options: str, seconds: float) -> Iterator[str]:
    bad = [one for one in played if one.problems]
    person = sum(len(one.reasons) for one in played)
    runs = sum(one.runs for one in played)
    yield HEAD.format(
        options=options, pictures=PICTURES, strike=STRIKE_SECONDS, struck=sum(len(one.hits) for one in played),
        rounds=len(played), minutes=seconds / 60, pictures_sum=sum(one.pictures for one in played),
        held=f"{len(bad)} rounds violated an invariant" if bad else "every invariant held after each round",
        refused=sum(one.refused for one in played), runs=runs, person=person, alone=runs - person,
    )  # fmt: skip
    yield from _kinds(played)
    if person:
        yield "\n## What runs said that needed a person\n"
        yield from sayings([reason for one in played for reason in one.reasons])
    if bad:
        yield "\n## Violated invariants\n"
        yield from (f"- round {one.number}: {problem}" for one in bad for problem in one.problems)
    yield "\n## Rounds\n\n| round | faults, in their order | seconds |\n| --- | --- | --- |"
    for one in played:
        hits = "; ".join(f"{name}: {what}" for name, what in one.hits).replace("|", "/")
        yield f"| {one.number} | {hits} | {one.seconds:.0f} |"


def _kinds(played: Sequence[Played]) -> Iterator[str]:
    """How often each kind struck, and in how many of its rounds a person was needed."""
    yield "| fault | struck | had no target | rounds that needed a person | rounds that violated an invariant |"
    yield "| --- | --- | --- | --- | --- |"
    for fault in FAULTS:
        of = [one for one in played if fault.name in {name for name, _ in one.hits}]
        missed = sum(fault.name in one.missed for one in played)
        person, bad = (sum(bool(what) for what in of_each) for of_each in
                       ([one.reasons for one in of], [one.problems for one in of]))  # fmt: skip
        yield f"| {fault.name} | {len(of)} | {missed} | {person} | {bad} |"


def sayings(reasons: Sequence[str]) -> Iterator[str]:
    """Each kind of reason once, the most frequent first, without folders; kinds differ in more than numbers."""
    short = [re.sub(r"(/[^/ ]+)+/", "", reason.replace("\n", " "))[:300] for reason in reasons]
    kinds = Counter(re.sub(r"\d+", "", reason) for reason in short)
    first = {re.sub(r"\d+", "", reason): reason for reason in reversed(short)}
    yield from (f"- {count} x, such as: {first[kind]}" for kind, count in kinds.most_common())
