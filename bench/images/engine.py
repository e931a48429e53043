"""The engine part: how many pictures a second each contender makes renditions of, on two cores, and how well.

The contenders' workers all stay up, and take turns: each pass goes over pictures of one kind, the rounds repeat. A slow
contender does the pictures once a pass, the others several times, so that no pass is too short to be timed.

Quality is structural similarity (Wang and others, 2004, doi:10.1109/TIP.2003.819861: Gaussian window of deviation 1.5
and 11 pixels, K1 = 0.01, K2 = 0.03, brightness of BT.601) to Pillow's LANCZOS on all pixels of the decoded picture. The
resizing alone is judged by PNG renditions, what users get by the JPEG renditions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from bench import picture
from bench.figures import Figure, Row, Runs, ratio, rounded
from bench.harness import Bench
from bench.images import chain
from bench.images.peers import JUDGED, PEERS, Peer
from bench.images.photos import KINDS, Kind, make
from bench.images.team import Job, Team
from bench.report import Sheet
from bench.venvs import Absent
from stack.errors import StackError

RADIUS, DEVIATION = 5, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
WEIGHTS = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * DEVIATION**2))
WEIGHTS /= WEIGHTS.sum()

Plane = NDArray[np.float64]
Contender = tuple[str, str]  # name, and the suffix of its renditions


Scores = dict[tuple[str, str], float]  # SSIM by picture and rendition
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
    folders: dict[Contender, Path] = {}
    for peer in judged:
        for suffix in ("jpg", "webp"):
            files = (out / peer.name).glob(f"*/*.{suffix}")
            found.megabytes[peer.name, suffix] = sum(file.stat().st_size for file in files) / 1e6
        folders |= {(peer.name, "jpg"): out / peer.name, (peer.name, "png"): out / f"{peer.name}-png"}
        with peer.team(bench.folder, chain.LOSSLESS) as team:
            team.run(_jobs(folders[peer.name, "png"], pictures))
    bench.say("quality")
    scores = scores_of(pictures, folders)
    found.resized = {peer.name: scores[peer.name, "png"] for peer in judged}
    found.encoded = {peer.name: scores[peer.name, "jpg"] for peer in judged}


def worst_of(scores: Scores, rendition: str = "") -> float | None:
    """The lowest, of all or of one rendition."""
    return min((value for (_, name), value in scores.items() if rendition in ("", name)), default=None)


def scores_of(pictures: Sequence[Path], folders: dict[Contender, Path]) -> dict[Contender, Scores]:
    """The scores of the renditions that lie in `<folder>/<picture's stem>/<rendition>.<suffix>`.

    Raises StackError when the size of one is wrong, as it is then no rendition of that recipe.
    """
    found: dict[Contender, Scores] = {contender: {} for contender in folders}
    for photo in pictures:
        with Image.open(photo) as image:
            full = image.convert("RGB")
        references: dict[tuple[int, int], Plane] = {}
        for contender, folder in folders.items():
            for rendition, side in chain.SIDES.items():
                file = folder / photo.stem / f"{rendition}.{contender[1]}"
                with Image.open(file) as made:
                    size, scale = made.size, side / max(full.size)
                    if any(abs(got - whole * scale) > 1 for got, whole in zip(size, full.size, strict=True)):
                        raise StackError(f"{file} is {size}, which is not {side} pixels on its longer side")
                    if size not in references:
                        references[size] = brightness(full.resize(size, Image.Resampling.LANCZOS))
                    value = ssim(brightness(made.convert("RGB")), references[size])
                found[contender][photo.stem, rendition] = value
    return found


def brightness(image: Image.Image) -> Plane:
    """(height, width) of 0 to 255."""
    found: Plane = np.asarray(image).astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return found


def ssim(one: Plane, other: Plane) -> float:
    """1 for the same; both (height, width) of 0 to 255, and larger than the window."""
    mean_one, mean_other = _smooth(one), _smooth(other)
    variance_one = _smooth(one * one) - mean_one**2
    variance_other = _smooth(other * other) - mean_other**2
    both = _smooth(one * other) - mean_one * mean_other
    likeness = (2 * mean_one * mean_other + C1) * (2 * both + C2)
    likeness /= (mean_one**2 + mean_other**2 + C1) * (variance_one + variance_other + C2)
    return float(likeness.mean())


def _smooth(values: Plane) -> Plane:
    """The window's mean wherever the whole window fits."""
    down = sliding_window_view(values, len(WEIGHTS), axis=0) @ WEIGHTS
    found: Plane = sliding_window_view(down, len(WEIGHTS), axis=1) @ WEIGHTS
    return found


def sheets(found: Found) -> list[Sheet]:
    """Speed, and quality."""
    speed: dict[str, Row] = {f"{LABELS[name]}: {reason}": {} for name, reason in found.absent.items()}
    for name, peak in found.peaks.items():
        rows = [runs.medians()[name] for runs in found.passes.values()]
        speed[LABELS[name]] = {**rows[0], **rows[1], "peak MB": peak}
    likeness, sharp = dict[str, Row](), found.resized.get("sharp", {})
    for name, scores in found.resized.items():
        likeness[LABELS[name]] = {
            **{f"resizing {side} px": worst_of(scores, rendition) for rendition, side in chain.SIDES.items()},
            "less sharp's, least": min((scores[place] - value for place, value in sharp.items()), default=None),
            **{f"JPEG {side} px": worst_of(found.encoded[name], made) for made, side in chain.SIDES.items()},
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
    worst, theirs = (worst_of(found.resized.get(name, {})) for name in ("millrace", "sharp"))
    aim = 0.98 if theirs is None else round(theirs, 4)
    encoded, theirs_encoded = (worst_of(found.encoded.get(name, {})) for name in ("millrace", "sharp"))
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
