"""Small programs that really leak, and some that only look like it: each a process with an agent inside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import children_of
from include.memory.verdict import time_lapse
from include.memory.watcher.sample import Incarnation, incarnation_of
from stack.errors import StackError

REPOSITORY = Path(__file__).parents[2]

# What each program does, over and over; `step()` leaks, or does not, and `pause` seconds pass between two steps.
HEAD = """
    import gc, os, sys, threading, time
    from collections import OrderedDict, deque
    from functools import lru_cache
    from pathlib import Path
    from include.memory.inside import agent

    class Order:
        def __init__(self, number):
            self.number = number
            self.lines = [number, number + 1]
"""
TAIL = """
    longest = 0.0

    def main(pause):
        global longest
        assert agent.install(Path(sys.argv[1])) or "off" in sys.argv
        print("ready", flush=True)
        number = 0
        done = os.open(Path(__file__).parent / "done", os.O_CREAT | os.O_WRONLY)
        while True:
            os.pwrite(done, b"%12d" % number, 0)
            began = time.perf_counter()
            for _ in range(int(os.environ.get("STEPS", "1"))):
                step(number)
                number += 1
            time.sleep(pause)
            longest = max(longest, time.perf_counter() - began - pause)

    main(0.002)
"""

LEAKS = {
    "global_list": """
        ORDERS = []
        def step(number):
            ORDERS.append(Order(number))
    """,
    "unbounded_cache": """
        @lru_cache(maxsize=None)
        def price(number):
            return [number] * 20
        def step(number):
            price(number)
    """,
    "strings_in_a_dict": """
        SEEN = {}
        def step(number):
            SEEN[f"order {number}"] = f"customer {number}" * 3
    """,
    "cycle_that_comes_back": """
        REFUSED = []
        class Session:
            def __init__(self, number):
                self.me, self.data = self, [number] * 10
            def __del__(self):
                REFUSED.append(self)  # the finaliser keeps what the collector wants to free
        def step(number):
            Session(number)
            if number % 20 == 0:
                gc.collect()
    """,
    "closure": """
        HOOKS = {"done": []}
        def remember(payload):
            def hook():
                return payload
            return hook
        def step(number):
            HOOKS["done"].append(remember([number] * 30))
    """,
    "thread_local": """
        LOCAL = threading.local()
        def step(number):
            if not hasattr(LOCAL, "rows"):
                LOCAL.rows = []
            LOCAL.rows.append({"number": number, "text": str(number)})
    """,
    "traceback_kept": """
        FAILURES = []
        def work(number):
            payload = [number] * 50
            raise ValueError(number)
        def step(number):
            try:
                work(number)
            except ValueError as error:
                FAILURES.append(error)
    """,
}
NATIVE = """
    import ctypes
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    def step(number):
        libc.memset(libc.malloc(2_000), 1, 2_000)
"""
INNOCENT = {
    "bounded_cache": """
        @lru_cache(maxsize=1_000_000)
        def price(number):
            return [number] * 20
        def step(number):
            price(number)
    """,
    "full_cache": """
        @lru_cache(maxsize=200)
        def price(number):
            return [number] * 20
        for number in range(300):
            price(-number)
        def step(number):
            price(number)
    """,
    "ring": """
        LAST = deque(maxlen=100)
        def step(number):
            LAST.append(Order(number))
    """,
    "garbage": """
        def step(number):
            one = Order(number)
            one.me = one
    """,
}


@dataclass
class Program:
    """A program that runs."""

    process: subprocess.Popen[str]
    incarnation: Incarnation
    folder: Path
    source: Path

    @property
    def done(self) -> int:
        """How many steps it has done."""
        return int((self.source.parent / "done").read_text())

    @property
    def in_lapse(self) -> time_lapse.Program:
        """Itself, to be watched in fast motion."""
        return time_lapse.Program(self.incarnation, self.folder, lambda: self.done)

    def end_children(self) -> None:
        """Kill what it has forked; the program itself is ended by who started it."""
        for child in children_of(self.process.pid):
            os.kill(child, signal.SIGKILL)

    def line_of(self, text: str) -> int:
        """The number of the first line of the program that holds the text."""
        lines = self.source.read_text().splitlines()
        return next(number for number, line in enumerate(lines, 1) if text in line)


@contextmanager
def running(
    body: str, place: Path, *arguments: str, head: str = HEAD, tail: str = TAIL, folder: Path | None = None,
    python: Path | None = None, **environment: str,
) -> Iterator[Program]:  # fmt: skip
    """Start a program, wait until its agent is armed, and end it. Raises StackError when it does not start."""
    source, folder = place / "program.py", folder or place / "agent"
    source.write_text("".join(textwrap.dedent(part) for part in (head, body, tail)))
    command = [python or sys.executable, "-X", "faulthandler", source, folder, *arguments]
    there = {"PYTHONPATH": str(REPOSITORY), "PATH": "", **environment}
    with subprocess.Popen(command, env=there, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise StackError(f"the program {source} did not start")
            time.sleep(0.3)
            yield Program(process, incarnation_of(process.pid), folder, source)
        finally:
            process.kill()
