"""The second half of `./run demo`: a handful of pictures through the upload, until their renditions are there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from samples.landscapes import landscape, logo
from samples.pictures import encoded
from stack.api import AirflowApi

TORN = "torn.jpg"
# A name, and what makes each another kind of picture.
PICTURES: dict[str, Callable[[int], bytes]] = {
    "landscape.jpg": lambda seed: encoded(landscape(2400, 1600, seed), quality=90),
    "portrait.jpg": lambda seed: encoded(landscape(1500, 2000, seed + 1), quality=90),
    "logo.png": lambda seed: encoded(logo(600 + seed % 100), "PNG"),
    TORN: lambda seed: encoded(landscape(800, 600, seed + 2))[:9000],
}
LIMIT_SECONDS = 60.0


def demo_images(console: Console, api: AirflowApi) -> bool:
    """Upload, wait and show. True when the good pictures are done and the torn one has failed with its reason."""
    seed = time.time_ns() % 1_000_000  # new pictures each time: known ones would be done at once
    files = {name: make(seed) for name, make in PICTURES.items()}
    began = time.monotonic()
    ids = {name: _upload(api, name, data) for name, data in files.items()}
    accepted = time.monotonic() - began
    ended: dict[str, tuple[dict[str, Any], float]] = {}
    while len(ended) < len(ids) and time.monotonic() - began < LIMIT_SECONDS:
        for name, image in ids.items():
            found = api.call("GET", f"millrace/images/{image}")
            if name not in ended and found["state"] in ("done", "failed"):
                ended[name] = found, time.monotonic() - began
        time.sleep(0.2)
    console.print(f"images: {len(ids)} uploads accepted in {accepted:.2f} s", style="bold")
    console.print(
        _table(ended), f"  {TORN} is cut short on purpose: it shows how a damaged picture fails", "", sep="\n"
    )
    states = {name: found["state"] for name, (found, _) in ended.items()}
    return states == {name: "failed" if name == TORN else "done" for name in ids}


def _upload(api: AirflowApi, name: str, data: bytes) -> str:
    answer = api.call("POST", "millrace/images", content=data, headers={"X-File-Name": name})
    return str(answer["images"][0]["id"])


def _table(ended: dict[str, tuple[dict[str, Any], float]]) -> Table:
    table = Table(box=None, padding=(0, 1), collapse_padding=True)
    for name in ("picture", "source", "after", "renditions"):
        table.add_column(name)
    for name, (found, seconds) in ended.items():
        source = found["source"]
        size = f"{source['width']} x {source['height']}" if source["width"] else f"{source['bytes'] / 1e3:,.0f} kB"
        made = ", ".join(f"{one['name']}.{one['format']} {one['bytes'] / 1e3:,.0f} kB" for one in found["renditions"])
        table.add_row(name, size, f"{seconds:.1f} s", made or f"failed: {found['reason']}")
    return table
