"""The figures that the image service has to reach, with their bounds: pure functions over what each part found."""

from __future__ import annotations

from statistics import median

from bench.figures import Figure
from bench.images import burst, engine, uploads
from bench.images.photos import KINDS
from bench.images.quality import Scores


def of_engine(found: engine.Found | None) -> list[Figure]:
    """Speed against the better of sharp and pyvips and against the naive way, and quality."""
    found = found or engine.Found()
    result = []
    for kind in KINDS:
        ours = found.speed("millrace", kind)
        best = max((speed for name in ("sharp", "pyvips") if (speed := found.speed(name, kind))), default=None)
        name = f"pictures/s, {kind.name} / "
        result.append(Figure(f"{name}the better of sharp and pyvips", _ratio(ours, best), 0.85, 1.05, "higher"))
        result.append(Figure(f"{name}the naive way", _ratio(ours, found.speed("naive", kind)), 4.0, 7.0, "higher"))
    ours, sharps = found.resized.get("millrace", Scores()), found.resized.get("sharp", Scores())
    worst, theirs = ours.worst(), sharps.worst()
    aim = round(theirs, 4) if theirs is not None else 0.98
    result.append(Figure("SSIM of the resizing, worst picture", _rounded(worst, 4), 0.98, aim, "higher"))
    result.append(_lead("SSIM of the resizing, worst picture, ours less sharp's", worst, theirs))
    worst, theirs = (found.encoded.get(name, Scores()).worst() for name in ("millrace", "sharp"))
    result.append(_lead("SSIM of the JPEG files, worst picture, ours less sharp's", worst, theirs))
    return result


def of_uploads(found: uploads.Found | None) -> list[Figure]:
    """The time to an answer against the least and against the ticket's endpoint, and memory."""
    found = found or uploads.Found()
    body, form = found.seconds(uploads.BODY, 99), found.seconds(uploads.FORM, 99)
    sink, ticket = found.seconds(uploads.SINK, 99), found.seconds(uploads.TICKET, 99)
    growth = found.growth_bytes()
    megabytes = None if growth is None else round(growth / 1e6, 1)
    return [
        Figure("upload p99 / a bare uvicorn sink", _ratio(body, sink), 2.5, 1.5),
        Figure("upload p99, form / the ticket's endpoint", _ratio(form, ticket), 0.2, 0.1),
        Figure("peak memory of the API server over idle, MB", megabytes, 150.0, 60.0),
    ]


def of_latency(found: list[float] | None) -> list[Figure]:
    """Seconds until one picture is done."""
    return [Figure("s from 202 to all renditions, idle Airflow", round(median(found), 2) if found else None, 10.0, 4.0)]


def of_burst(found: burst.Found | None, count: int) -> list[Figure]:
    """Nothing lost, and what Airflow takes."""
    missing = None if found is None else count - found.done
    percent = None if found is None or found.overhead_percent is None else round(found.overhead_percent, 2)
    return [
        Figure(f"of {count:,} uploads in a burst, lost or not done", missing, 0.0, 0.0),
        Figure("Airflow's overhead per picture, %", percent, 1.0, 1.0),
    ]


def _lead(name: str, ours: float | None, theirs: float | None) -> Figure:
    lead = round(ours - theirs, 4) if ours is not None and theirs is not None else None
    return Figure(name, lead, -0.005, 0.0, "higher")


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours is not None and theirs else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
