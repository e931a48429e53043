"""What a portable target costs the compiled functions: records cut and encoded, by the CPU that they are compiled for.

`python -m bench.targets FILE` takes an orders file of samples/orders.py and prints, for each target, MB/s of cutting
(`csv/grammar.py`) and of encoding (`express/kernel.py`): the best of several rounds, as a busy machine only slows.
The rounds of the targets take turns, so that what the machine does meanwhile hits them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGETS = {"native": None, "x86-64-v3": "x86-64-v3", "x86-64-v2": "x86-64-v2", "generic": "generic"}
ROUNDS, REPEATS = 5, 3


def main(file: str) -> int:
    """Print one line for each target."""
    best: dict[str, dict[str, float]] = {name: {} for name in TARGETS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, target in TARGETS.items():
                for what, speed in _measured(file, target, f"{folder}/{name}").items():
                    best[name][what] = max(speed, best[name].get(what, 0.0))
    for name, speeds in best.items():
        shares = (f"{what} {speed:.0f} MB/s ({speed / best['native'][what]:.0%})" for what, speed in speeds.items())
        print(f"{name:<10}", *shares, sep="  ")
    return 0


def _measured(file: str, target: str | None, cache: str) -> dict[str, float]:
    """What one process of this target reports."""
    chosen = {"NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": ""} if target else {}
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, **chosen}
    command = [sys.executable, "-m", "bench.targets", "--measure", file]
    return dict(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))


def _measure(file: str) -> dict[str, float]:
    from include.ingest.cast.rows import NO_LOSERS, Reader
    from include.ingest.csv.records import read_blocks
    from include.ingest.csv.scan import scan_file
    from include.ingest.dataset_file import load_dataset
    from include.ingest.express import Express
    from include.ingest.plan import dialect_of
    from include.ingest.source.local import LocalFile

    dataset = load_dataset(Path("include/datasets/orders.yaml"))
    dialect, source = dialect_of(dataset), LocalFile(Path(file))
    (chunk,) = scan_file(source, dialect, header=True, chunk_bytes=1 << 40).chunks
    positions = tuple(range(len(dataset.columns)))
    times: dict[str, list[float]] = {"cut": [], "encode": []}
    for _ in range(REPEATS):
        began = time.process_time()
        blocks = list(read_blocks(source, dialect, chunk))
        times["cut"].append(time.process_time() - began)
        express = Express(Reader(dataset, dialect, len(positions), positions))
        began = time.process_time()
        for block in blocks:
            express.encode(block, NO_LOSERS, lambda part: None)
        times["encode"].append(time.process_time() - began)
    return {what: chunk.length / 1e6 / min(spent) for what, spent in times.items()}


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        print(json.dumps(_measure(sys.argv[2])))
    else:
        sys.exit(main(str(Path(sys.argv[1]).resolve())))
