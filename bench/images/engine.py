"""The engine part: how many pictures a second each contender makes renditions of, on two cores, and how well.

The contenders' workers all stay up, and take turns: each pass goes over pictures of one kind, the rounds repeat. A slow
contender does the pictures once a pass, the others several times, so that no pass is too short to be timed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import picture
from bench.figures import Figure, Row, Runs, ratio, rounded
from bench.harness import Bench
from bench.images import chain, quality
from bench.images.peers import JUDGED, PEERS, Peer
from bench.images.photos import KINDS, Kind, make
from bench.images.quality import Scores
from bench.images.team import Job, Team
from bench.report import Sheet
from bench.venvs import Absent

PICTURES, ROUNDS, TIMES, TABLE_PICTURES = (6, 2), (5, 2), (4, 2), (3, 1)  # full, quick
LABELS = {peer.name: peer.label for peer in PEERS}


@dataclass
class Found:
    """What the engine part found: runs by kind of pictures, quality and size of what was made, by contender."""

    passes: dict[Kind, Runs] = field(default_factory=lambda: {kind: Runs() for kind in KINDS})
    peaks: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    resized: dict[str, Scores] = field(default_factory=dict)  # of PNG renditions: the resizing alone
    encoded: dict[str, Scores] = field(default_factory=dict)  # of JPEG renditions
    megabytes: dict[tuple[str, str], float] = field(default_factory=dict)  # of all pictures' renditions, by format

    def speed(self, name: str, kind: Kind) -> float | None:
        """Median pictures a second; None without a measurement."""
        return self.passes[kind].median(name, f"{kind.name} pictures/s")


def measure(bench: Bench) -> Found:
    """Everything of this part."""
    pictures = {kind: make(bench.folder, kind, PICTURES[bench.quick]) for kind in KINDS}
    found, out = Found(), bench.folder / "renditions"
    shutil.rmtree(out, ignore_errors=True)
    try:
        _race(bench, out, pictures, found)
        _judge(bench, out, [picture for kind in pictures.values() for picture in kind], found)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return found


def _race(bench: Bench, out: Path, pictures: dict[Kind, list[Path]], found: Found) -> None:
    def one(peer: Peer, team: Team, kind: Kind) -> Row:
        chosen = pictures[kind][: TABLE_PICTURES[bench.quick]] if peer.table_only else pictures[kind]
        speed, cpu_ms = team.run(_jobs(out / peer.name, chosen * (1 if peer.slow else TIMES[bench.quick])))
        bench.say(f"  {peer.name}, {kind.name}: {speed:.2f} pictures/s, {cpu_ms:.0f} CPU ms")
        return {f"{kind.name} pictures/s": speed, f"{kind.name} CPU ms": cpu_ms}

    with ExitStack() as open_teams:
        teams: dict[Peer, Team] = {}
        for peer in PEERS:
            bench.say(f"start {peer.name}")
            try:
                teams[peer] = open_teams.enter_context(peer.team(bench.folder, chain.FILES))
            except Absent as reason:
                found.absent[peer.name] = str(reason)
                bench.say(f"  {reason}")
            else:
                teams[peer].run(_jobs(out / peer.name, pictures[KINDS[0]][:1] * 2))  # warms it up
        for place in range(bench.options.repeat or ROUNDS[bench.quick]):
            for kind in KINDS:
                turns: dict[str, Callable[[], Row]] = {
                    peer.name: partial(one, peer, team, kind)
                    for peer, team in teams.items()
                    if not (peer.table_only and place)
                }
                found.passes[kind].take_turns(turns, 1)
    found.peaks = {peer.name: team.peak_bytes / 1e6 for peer, team in teams.items()}


def _jobs(out: Path, pictures: Sequence[Path]) -> list[Job]:
    return [(picture, out / picture.stem) for picture in pictures]


def _judge(bench: Bench, out: Path, pictures: Sequence[Path], found: Found) -> None:
    judged = [peer for peer in JUDGED if peer.name not in found.absent]
    folders: dict[quality.Contender, Path] = {}
    for peer in judged:
        for suffix in ("jpg", "webp"):
            files = (out / peer.name).glob(f"*/*.{suffix}")
            found.megabytes[peer.name, suffix] = sum(file.stat().st_size for file in files) / 1e6
        folders |= {(peer.name, "jpg"): out / peer.name, (peer.name, "png"): out / f"{peer.name}-png"}
        with peer.team(bench.folder, chain.LOSSLESS) as team:
            team.run(_jobs(folders[peer.name, "png"], pictures))
    bench.say("quality")
    scores = quality.judge(pictures, folders)
    found.resized = {peer.name: scores[peer.name, "png"] for peer in judged}
    found.encoded = {peer.name: scores[peer.name, "jpg"] for peer in judged}


def sheets(found: Found) -> list[Sheet]:
    """Speed, and quality."""
    speed: dict[str, Row] = {f"{LABELS[name]}: {reason}": {} for name, reason in found.absent.items()}
    for name, peak in found.peaks.items():
        rows = [runs.medians()[name] for runs in found.passes.values()]
        speed[LABELS[name]] = {**rows[0], **rows[1], "peak MB": peak}
    likeness: dict[str, Row] = {}
    for name, scores in found.resized.items():
        likeness[LABELS[name]] = {
            **{f"resizing {side} px": scores.worst(rendition) for rendition, side in chain.SIDES.items()},
            "less sharp's, least": scores.least_lead(found.resized.get("sharp", Scores())),
            **{f"JPEG {side} px": found.encoded[name].worst(rendition) for rendition, side in chain.SIDES.items()},
            "JPEG MB": found.megabytes[name, "jpg"], "WebP MB": found.megabytes[name, "webp"],
        }  # fmt: skip
    title = "Renditions of 1024, 512 and 128 px, JPEG and WebP, by two processes on two cores"
    return [
        Sheet.of(title, "contender", speed),
        Sheet.of("SSIM against a full-resolution Lanczos reference, worst picture", "contender", likeness),
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
