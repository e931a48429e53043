"""The engine part: how many pictures a second each contender makes renditions of, on two cores, and how well.

The contenders' workers all stay up, and take turns: each pass goes over pictures of one kind, the rounds repeat. A slow
contender does the pictures once a pass, the others several times, so that no pass is too short to be timed.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.images import chain, quality
from bench.images.peers import JUDGED, PEERS, Peer
from bench.images.photos import KINDS, Kind, make
from bench.images.quality import Scores
from bench.images.team import Pass, Team
from bench.peers import Absent

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    pictures: int
    rounds: int
    times: int  # that a fast contender goes over the pictures in one pass
    table_pictures: int


FULL, QUICK = Scale(6, 5, 4, 3), Scale(2, 2, 2, 1)


@dataclass
class Found:
    """What the engine part found, by contender."""

    passes: dict[tuple[str, str], list[Pass]] = field(default_factory=lambda: defaultdict(list))
    peak_bytes: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    resized: dict[str, Scores] = field(default_factory=dict)  # of PNG renditions: the resizing alone
    encoded: dict[str, Scores] = field(default_factory=dict)  # of JPEG renditions
    bytes: dict[tuple[str, str], int] = field(default_factory=dict)  # of all pictures' renditions, by format

    def speed(self, name: str, kind: Kind) -> float | None:
        """Median pictures a second; None without a measurement."""
        found = self.passes.get((name, kind.name))
        return median(one.speed for one in found) if found else None

    def cpu_ms(self, name: str, kind: Kind) -> float | None:
        """Median CPU milliseconds a picture."""
        found = self.passes.get((name, kind.name))
        return median(1000 * one.cpu_seconds / one.pictures for one in found) if found else None


def measure(folder: Path, scale: Scale, say: Say) -> Found:
    """Everything of this part. `folder` is the benchmark's own."""
    say("pictures")
    pictures = {kind.name: make(folder, kind, scale.pictures) for kind in KINDS}
    found = Found()
    out = folder / "renditions"
    shutil.rmtree(out, ignore_errors=True)
    try:
        _race(folder, out, pictures, scale, found, say)
        every = [picture for kind in pictures.values() for picture in kind]
        _judge(folder, out, every, found, say)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return found


def _race(folder: Path, out: Path, pictures: dict[str, list[Path]], scale: Scale, found: Found, say: Say) -> None:
    with ExitStack() as open_teams:
        teams = {}
        for peer in PEERS:
            say(f"start {peer.name}")
            try:
                teams[peer.name] = team = open_teams.enter_context(peer.team(folder, chain.FILES))
            except Absent as reason:
                found.absent[peer.name] = str(reason)
                say(f"  {reason}")
                continue
            team.run(_jobs(out / peer.name, pictures[KINDS[0].name][:1] * 2, 1))  # warms it up
        for number in range(scale.rounds):
            for kind in KINDS:
                for peer in PEERS:
                    if peer.name in teams and not (peer.table_only and number):
                        _pass(peer, teams[peer.name], kind, pictures[kind.name], out, scale, found, say)
    found.peak_bytes = {name: team.peak_bytes for name, team in teams.items()}


def _pass(
    peer: Peer, team: Team, kind: Kind, pictures: Sequence[Path], out: Path, scale: Scale, found: Found, say: Say
) -> None:
    chosen = pictures[: scale.table_pictures] if peer.table_only else pictures
    one = team.run(_jobs(out / peer.name, chosen, 1 if peer.slow else scale.times))
    found.passes[peer.name, kind.name].append(one)
    say(f"  {peer.name}, {kind.name}: {one.speed:.2f} pictures/s, {1000 * one.cpu_seconds / one.pictures:.0f} CPU ms")


def _jobs(out: Path, pictures: Sequence[Path], times: int) -> list[tuple[Path, Path]]:
    return [(picture, out / picture.stem) for _ in range(times) for picture in pictures]


def _judge(folder: Path, out: Path, pictures: Sequence[Path], found: Found, say: Say) -> None:
    names = [peer.name for peer in JUDGED if peer.name not in found.absent]
    for name in names:
        for suffix in ("jpg", "webp"):
            files = (out / name).glob(f"*/*.{suffix}")
            found.bytes[name, suffix] = sum(file.stat().st_size for file in files)
    folders = {(name, "jpg"): out / name for name in names}
    for peer in JUDGED:
        if peer.name in names:
            folders[peer.name, "png"] = out / f"{peer.name}-png"
            with peer.team(folder, chain.LOSSLESS) as team:
                team.run(_jobs(folders[peer.name, "png"], pictures, 1))
    say("quality")
    scores = quality.judge(pictures, folders)
    found.resized = {name: scores[name, "png"] for name in names}
    found.encoded = {name: scores[name, "jpg"] for name in names}
