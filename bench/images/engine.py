"""The engine part: how many pictures a second each contender makes renditions of, on two cores, and how well.

The contenders' workers all stay up, and take turns: each pass goes over pictures of one kind, the rounds repeat. A slow
contender does the pictures once a pass, the others several times, so that no pass is too short to be timed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench import picture
from bench.figures import Figure, Runs, Say, number, ratio, rounded
from bench.harness import Bench
from bench.images import chain, quality
from bench.images.peers import JUDGED, PEERS, Peer
from bench.images.photos import KINDS, Kind, make
from bench.images.quality import Scores
from bench.images.team import Job, Pass, Team
from bench.report import Sheet
from bench.venvs import Absent


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

    passes: Runs[tuple[str, str], Pass] = field(default_factory=Runs)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    resized: dict[str, Scores] = field(default_factory=dict)  # of PNG renditions: the resizing alone
    encoded: dict[str, Scores] = field(default_factory=dict)  # of JPEG renditions
    bytes: dict[tuple[str, str], int] = field(default_factory=dict)  # of all pictures' renditions, by format

    def speed(self, name: str, kind: Kind) -> float | None:
        """Median pictures a second; None without a measurement."""
        return self.passes.median((name, kind.name), lambda one: one.speed)

    def cpu_ms(self, name: str, kind: Kind) -> float | None:
        """Median CPU milliseconds a picture."""
        return self.passes.median((name, kind.name), lambda one: one.cpu_ms)


def measure(bench: Bench) -> Found:
    """Everything of this part."""
    folder, say, scale = bench.folder, bench.say, QUICK if bench.quick else FULL
    scale = replace(scale, rounds=bench.options.repeat or scale.rounds)
    say("pictures")
    pictures = {kind: make(folder, kind, scale.pictures) for kind in KINDS}
    found, out = Found(), folder / "renditions"
    shutil.rmtree(out, ignore_errors=True)
    try:
        _race(folder, out, pictures, scale, found, say)
        _judge(folder, out, [picture for kind in pictures.values() for picture in kind], found, say)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return found


def _race(folder: Path, out: Path, pictures: dict[Kind, list[Path]], scale: Scale, found: Found, say: Say) -> None:
    def one_pass(peer: Peer, team: Team, kind: Kind) -> Pass:
        chosen = pictures[kind][: scale.table_pictures] if peer.table_only else pictures[kind]
        one = team.run(_jobs(out / peer.name, chosen * (1 if peer.slow else scale.times)))
        say(f"  {peer.name}, {kind.name}: {one.speed:.2f} pictures/s, {one.cpu_ms:.0f} CPU ms")
        return one

    with ExitStack() as open_teams:
        teams: dict[Peer, Team] = {}
        for peer in PEERS:
            say(f"start {peer.name}")
            try:
                teams[peer] = open_teams.enter_context(peer.team(folder, chain.FILES))
            except Absent as reason:
                found.absent[peer.name] = str(reason)
                say(f"  {reason}")
            else:
                teams[peer].run(_jobs(out / peer.name, pictures[KINDS[0]][:1] * 2))  # warms it up
        turns: dict[tuple[str, str], Callable[[], Pass]] = {
            (peer.name, kind.name): partial(one_pass, peer, team, kind)
            for kind in KINDS
            for peer, team in teams.items()
        }
        few = {peer.name for peer in teams if peer.table_only}
        found.passes.take_turns(turns, 1)
        found.passes.take_turns({key: turn for key, turn in turns.items() if key[0] not in few}, scale.rounds - 1)
    found.peak_bytes = {peer.name: team.peak_bytes for peer, team in teams.items()}


def _jobs(out: Path, pictures: Sequence[Path]) -> list[Job]:
    return [(picture, out / picture.stem) for picture in pictures]


def _judge(folder: Path, out: Path, pictures: Sequence[Path], found: Found, say: Say) -> None:
    judged = [peer for peer in JUDGED if peer.name not in found.absent]
    folders: dict[quality.Contender, Path] = {}
    for peer in judged:
        for suffix in ("jpg", "webp"):
            files = (out / peer.name).glob(f"*/*.{suffix}")
            found.bytes[peer.name, suffix] = sum(file.stat().st_size for file in files)
        folders |= {(peer.name, "jpg"): out / peer.name, (peer.name, "png"): out / f"{peer.name}-png"}
        with peer.team(folder, chain.LOSSLESS) as team:
            team.run(_jobs(folders[peer.name, "png"], pictures))
    say("quality")
    scores = quality.judge(pictures, folders)
    found.resized = {peer.name: scores[peer.name, "png"] for peer in judged}
    found.encoded = {peer.name: scores[peer.name, "jpg"] for peer in judged}


def sheets(found: Found) -> list[Sheet]:
    """Speed, and quality."""
    nobody = Scores()

    def worst(of: dict[str, Scores], name: str) -> Callable[[Peer], str]:
        return lambda peer: number(of.get(peer.name, nobody).worst(name), 4)

    speed: dict[str, Callable[[Peer], str]] = {
        "contender": lambda peer: ": ".join(filter(None, [peer.label, found.absent.get(peer.name)]))
    }
    for kind in KINDS:
        speed[f"{kind.name} pictures/s"] = partial(lambda kind, peer: number(found.speed(peer.name, kind), 2), kind)
        speed[f"{kind.name} CPU ms"] = partial(lambda kind, peer: number(found.cpu_ms(peer.name, kind), 0), kind)
    speed["peak MB"] = lambda peer: number(found.peak_bytes.get(peer.name), 0, 1e6)
    sharps = found.resized.get("sharp", nobody)
    likeness: dict[str, Callable[[Peer], str]] = {
        "contender": lambda peer: peer.label,
        **{f"resizing {side} px": worst(found.resized, name) for name, side in chain.SIDES.items()},
        "less sharp's, least": lambda peer: number(found.resized[peer.name].least_lead(sharps), 4),
        **{f"JPEG {side} px": worst(found.encoded, name) for name, side in chain.SIDES.items()},
        "JPEG MB": lambda peer: number(found.bytes[peer.name, "jpg"], 2, 1e6),
        "WebP MB": lambda peer: number(found.bytes[peer.name, "webp"], 2, 1e6),
    }
    judged = [peer for peer in JUDGED if peer.name in found.resized]
    return [
        Sheet.of("Renditions of 1024, 512 and 128 px, JPEG and WebP, by two processes on two cores", PEERS, speed),
        Sheet.of("SSIM against a full-resolution Lanczos reference, worst picture", judged, likeness),
    ]


def figures(found: Found | None) -> list[Figure]:
    """Speed against the better of sharp and pyvips and against the naive way, and quality."""
    found, result = found or Found(), []
    for kind in KINDS:
        ours, naive = found.speed("millrace", kind), found.speed("naive", kind)
        best = max((speed for name in ("sharp", "pyvips") if (speed := found.speed(name, kind))), default=None)
        name = f"pictures/s, {kind.name} / "
        result += [
            Figure(f"{name}the better of sharp and pyvips", ratio(ours, best), 0.85, 1.05, "higher", full_size=True),
            Figure(f"{name}the naive way", ratio(ours, naive), 4.0, 7.0, "higher", full_size=True),
        ]
    worst, theirs = (found.resized.get(name, Scores()).worst() for name in ("millrace", "sharp"))
    aim = 0.98 if theirs is None else round(theirs, 4)
    encoded, theirs_encoded = (found.encoded.get(name, Scores()).worst() for name in ("millrace", "sharp"))
    return [
        *result,
        Figure("SSIM of the resizing, worst picture", rounded(worst, 4), 0.98, aim, "higher"),
        _lead("SSIM of the resizing, worst picture, ours less sharp's", worst, theirs),
        _lead("SSIM of the JPEG files, worst picture, ours less sharp's", encoded, theirs_encoded),
    ]


def draw(found: Found) -> str:
    """The picture for the README: everybody on the first kind of pictures."""
    kind = KINDS[0]
    bars = [picture.Bar(peer.label, found.speed(peer.name, kind), ours=peer.name == "millrace") for peer in PEERS]
    subtitle = f"{kind.name} JPEGs to 1024, 512 and 128 px, each as JPEG and WebP, same settings, two cores"
    return picture.draw("Pictures resized a second", subtitle, "pictures/s", bars)


def _lead(name: str, ours: float | None, theirs: float | None) -> Figure:
    lead = round(ours - theirs, 4) if ours is not None and theirs is not None else None
    return Figure(name, lead, -0.005, 0.0, "higher")
