"""A worker that allocates all the time, with a large heap, and writes down when each of its steps ended.

What it does is JSON, objects made from rows as an ORM makes them, and pandas, half a millisecond to one a step. Its own
full collections, of 0.2 s each, are switched off: they would hide the pauses of a profile.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.memory.programs import Program, running

# A million objects, 200 MB.
FILL = """
    HEAP = [{"number": number, "name": str(number), "parts": [number]} for number in range(450_000)]
"""
WORK = """
    import json
    from array import array
    import pandas

    gc.set_threshold(700, 10, 10**9)
    ROWS = [{"number": number, "customer": f"customer {number}", "price": number / 7} for number in range(60)]

    class Row:
        def __init__(self, number, customer, price):
            self.number, self.customer, self.price, self.lines = number, customer, price, []

    def rows_as_json():
        json.loads(json.dumps(ROWS * 4))

    def rows_as_objects():
        for one in [Row(**row) for _ in range(12) for row in ROWS]:
            one.lines.append(Order(one.number))

    def rows_as_a_frame():
        pandas.DataFrame(ROWS).groupby("number").sum()

    ACTS = [rows_as_json, rows_as_objects, rows_as_a_frame]
"""
TAIL = """
    def main():
        assert agent.install(Path(sys.argv[1]))
        print("ready", flush=True)
        stop, stamps, number = Path(sys.argv[1]).parent / "stop", array("d"), 0
        while True:
            ACTS[number % len(ACTS)]()
            stamps.append(time.monotonic())
            number += 1
            if number % 100 == 0 and stop.exists():
                (Path(sys.argv[1]).parent / "stamps").write_bytes(stamps.tobytes())
                return

    main()
"""


@contextmanager
def working(place: Path) -> Iterator[Program]:
    """Start it; its heap is filled when this returns."""
    with running(FILL + WORK, place, tail=TAIL) as program:
        yield program


def stamps(program: Program) -> array[float]:
    """End the worker. Returns when its steps ended, by the machine's monotonic clock."""
    place = program.source.parent
    (place / "stop").touch()
    program.process.wait(timeout=60)
    found = array("d")
    found.frombytes((place / "stamps").read_bytes())
    return found
