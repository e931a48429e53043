"""What the parts found, as tables."""

from __future__ import annotations

from statistics import median

from bench.images import burst, engine, uploads
from bench.images.chain import SIDES
from bench.images.peers import JUDGED, PEERS
from bench.images.photos import KINDS
from bench.images.quality import Scores
from bench.report import Sheet


def of_engine(found: engine.Found) -> list[Sheet]:
    """Speed, and quality."""
    columns = ["contender", *(f"{kind.name} {what}" for kind in KINDS for what in ("pictures/s", "CPU ms")), "peak MB"]
    rows = []
    for peer in PEERS:
        if peer.name in found.absent:
            rows.append([f"{peer.label}: {found.absent[peer.name]}", *["-"] * (len(columns) - 1)])
            continue
        cells = [
            cell
            for kind in KINDS
            for cell in (_number(found.speed(peer.name, kind), 2), _number(found.cpu_ms(peer.name, kind), 0))
        ]
        rows.append([peer.label, *cells, _number(found.peak_bytes.get(peer.name), 0, 1e6)])
    title = "Renditions of 1024, 512 and 128 px, JPEG and WebP, by two processes on two cores"
    return [Sheet(title, columns, rows), _quality(found)]


def _quality(found: engine.Found) -> Sheet:
    columns = [
        "contender", *(f"resizing {side} px" for side in SIDES.values()), "less sharp's, least",
        *(f"JPEG {side} px" for side in SIDES.values()), "JPEG MB", "WebP MB",
    ]  # fmt: skip
    rows = []
    for peer in JUDGED:
        if peer.name in found.absent:
            continue
        resized, encoded = found.resized.get(peer.name, Scores()), found.encoded.get(peer.name, Scores())
        rows.append([
            peer.label, *(_number(resized.worst(name), 4) for name in SIDES),
            _number(resized.least_lead(found.resized.get("sharp", Scores())), 4),
            *(_number(encoded.worst(name), 4) for name in SIDES),
            *(_number(found.bytes.get((peer.name, suffix)), 2, 1e6) for suffix in ("jpg", "webp")),
        ])  # fmt: skip
    return Sheet("SSIM against a full-resolution Lanczos reference, worst picture", columns, rows)


def of_uploads(found: uploads.Found) -> list[Sheet]:
    """Answers and memory by server."""
    columns = ["server", "uploads", "requests/s", "p50 s", "p99 s", "CPU ms an upload", "peak RSS MB", "peak PSS MB"]
    rows = []
    for name in (uploads.SINK, uploads.BODY, uploads.FORM, uploads.TICKET):
        runs = found.runs.get(name, [])
        if not runs:
            continue
        speed = median(len(one.seconds) / one.all_seconds for one in runs)
        rows.append([
            name, f"{len(runs)} x {len(runs[0].seconds)}", _number(speed, 1),
            *(_number(found.seconds(name, percent), 2) for percent in (50, 99)), _number(median(found.cpu_ms[name]), 1),
            _number(found.peak_rss.get(name), 0, 1e6), _number(found.peak_pss.get(name), 0, 1e6),
        ])  # fmt: skip
    return [Sheet("Uploads while two processes resize", columns, rows)]


def of_latency(found: list[float]) -> list[Sheet]:
    """Each picture."""
    rows = [["median", f"{median(found):.2f}"], *([f"picture {n}", f"{s:.2f}"] for n, s in enumerate(found, 1))]
    return [Sheet("From 202 to all renditions, one picture, idle Airflow", ["picture", "s"], rows)]


def of_burst(found: burst.Found) -> list[Sheet]:
    """What became of it."""
    facts = {
        "uploads answered 202": f"{len(found.uploads.ids):,}",
        "seconds until the last answer": _number(found.uploads.all_seconds, 1),
        "p99 of the answers, s": _number(found.uploads.percentile(99), 2),
        "done, with all renditions in the store": f"{found.done:,}",
        "runs of the DAG": str(found.runs),
        "resize tasks": str(found.tasks),
        "first run's start until the last picture is done, s": _number(found.done_seconds, 1),
        "first run's start to last run's end, s": _number(found.run_seconds, 1),
        "work of the busiest lane, s": _number(found.lane_seconds, 1),
        "work of all resize tasks, s": _number(found.work_seconds, 1),
        "work per picture, ms": _number(1000 * found.work_seconds / max(found.done, 1), 1),
        "Airflow's share, s": _number(found.airflow_seconds, 1),
        "Airflow's share per picture, ms": _number(1000 * found.airflow_seconds / max(found.done, 1), 1),
        "Airflow's share over the busiest lane's work, %": _number(
            100 * found.airflow_seconds / found.lane_seconds if found.lane_seconds else None, 1
        ),
    }
    return [Sheet("A burst of uploads", ["fact", ""], [list(fact) for fact in facts.items()])]


def _number(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:,.{digits}f}"
