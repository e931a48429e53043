"""The agent inside real processes: what it counts and proves, and that its host never notices."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from bench.memory.cases import GUILTY
from include.memory.errors import BadAnswer, MemoryAuditError, NoAgent, NoAnswer, ProcessGone
from include.memory.inside.weight import weight_of_entry
from include.memory.watcher import exchange, probe
from include.memory.watcher.exchange import MARK, SIGNAL, Ask
from include.memory.watcher.sample import Incarnation, incarnation_of
from tests.memory.programs import INNOCENT, LEAKS, NATIVE, as_stranger, running

SECONDS = 2.0


def steady_lines(found: dict[str, Any]) -> list[str]:
    """Every frame of the lines that grew in all parts of the window."""
    lines = found["traced"]["lines"]
    return [frame for line in lines if line["grew"] == found["traced"]["parts"] for frame in line["frames"]]


@pytest.mark.parametrize("name", LEAKS)
def test_the_holder_and_the_line_of_a_leak_are_named(name: str, tmp_path: Path) -> None:
    with running(LEAKS[name], tmp_path) as program:
        first = probe.count(program.incarnation, folder=program.folder)
        found = probe.profile(program.incarnation, folder=program.folder, seconds=SECONDS, longest_pause_seconds=1.0)
        holder, line = GUILTY[name]
        best = found["holders"][0]
        assert best["complete"]
        assert best["chain"][0] == "module __main__"
        assert best["chain"][1].startswith(holder)
        assert best["after"] > best["before"] > 0
        assert best["bound"] is None
        assert f"{program.source}:{program.line_of(line)}" in steady_lines(found)
        assert found["counters"]["blocks"] > first["counters"]["blocks"] + 500
        assert found["counters"]["collected"]


def test_native_memory_grows_without_blocks_or_a_holder(tmp_path: Path) -> None:
    with running(NATIVE, tmp_path) as program:
        first = probe.count(program.incarnation, folder=program.folder)["counters"]
        time.sleep(SECONDS)
        last = probe.count(program.incarnation, folder=program.folder)["counters"]
        found = probe.profile(program.incarnation, folder=program.folder, seconds=1.0)
    assert not found["types"], "what the agent itself makes is none of them"
    assert not found["holders"]
    assert last["heap_bytes"] - first["heap_bytes"] > 500_000
    assert abs(last["blocks"] - first["blocks"]) < 300


@pytest.mark.parametrize("name", ["full_cache", "ring", "garbage"])
def test_what_does_not_leak_has_no_growing_holder_and_flat_counters(name: str, tmp_path: Path) -> None:
    with running(INNOCENT[name], tmp_path) as program:
        probe.profile(program.incarnation, folder=program.folder, seconds=0.5)
        first = probe.count(program.incarnation, folder=program.folder)["counters"]
        found = probe.profile(program.incarnation, folder=program.folder, seconds=SECONDS)
        last = probe.count(program.incarnation, folder=program.folder)["counters"]
    assert not [holder for holder in found["holders"] if holder["before"] and holder["bound"] is None]
    assert abs(last["blocks"] - first["blocks"]) < 300


def test_a_cache_that_is_not_full_is_told_from_one_without_bound(tmp_path: Path) -> None:
    with running(INNOCENT["bounded_cache"], tmp_path) as program:
        found = probe.profile(program.incarnation, folder=program.folder, seconds=1.0)
    bound = found["holders"][0]["bound"]
    assert bound["holder"] == "lru_cache of price"
    assert bound["limit"] == 1_000_000
    assert 0 < bound["entries"] < 100_000


def test_a_leak_held_by_a_running_function_is_named(tmp_path: Path) -> None:
    tail = """
    def forever():
        kept = []
        assert agent.install(Path(sys.argv[1]))
        print("ready", flush=True)
        while True:
            kept.append(Order(len(kept)))
            time.sleep(0.002)
    forever()
    """
    with running("", tmp_path, tail=tail) as program:
        found = probe.profile(program.incarnation, folder=program.folder, seconds=1.0)
    chain = found["holders"][0]["chain"]
    assert chain[0].startswith(f"local variable kept of forever ({program.source}:")
    assert chain[1].startswith("list of ")


def test_a_question_that_comes_too_often_or_twice_is_answered_once(tmp_path: Path) -> None:
    with running(INNOCENT["ring"], tmp_path) as program:
        for _ in range(200):
            os.kill(program.incarnation.pid, SIGNAL)
        for _ in range(30):
            probe.count(program.incarnation, folder=program.folder)
        assert program.process.poll() is None
        assert [file.name for file in program.folder.iterdir()] == [MARK]
        assert Path(f"/proc/{program.process.pid}/status").read_text().count("\nThreads:\t1\n") == 1


SEVERAL = """
    import os
    def step(number):
        if number == 100:
            for _ in range(40):
                if os.fork() == 0:
                    while True:
                        time.sleep(1)
"""


def children_of(pid: int, count: int) -> list[Incarnation]:
    """The children of a process, once there are so many."""
    file, until = Path(f"/proc/{pid}/task/{pid}/children"), time.monotonic() + 10
    while len(found := file.read_text().split()) < count and time.monotonic() < until:
        time.sleep(0.05)
    return [incarnation_of(int(child)) for child in found]


def test_many_processes_are_asked_at_the_same_time(tmp_path: Path) -> None:
    with running(SEVERAL, tmp_path) as program:
        children = children_of(program.process.pid, 40)
        gone = Incarnation(children[0].host, children[0].pid, 1)
        os.kill(children[1].pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answers = probe.count_all(
                [*children, gone, incarnation_of(1)], folder=program.folder, seconds=2.0, collect={children[2]}
            )
            assert time.monotonic() - began < 3.5, "one that does not answer holds up nobody"
        finally:
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
    assert set(answers.found) == {*children} - {children[1]}
    assert all(answer["pid"] == process.pid for process, answer in answers.found.items())
    for process, answer in answers.found.items():
        assert answer["counters"]["collected"] == (process == children[2])
        assert (answer["counters"]["objects"] is None) == (process != children[2])
    assert {type(error) for error in answers.missing.values()} == {NoAnswer, ProcessGone, NoAgent}
    assert not [file for file in program.folder.iterdir() if file.suffix == ".ask"]


FORKS = """
    import os
    KEPT = []
    def step(number):
        if number == 300:
            if os.fork() == 0:
                child = []
                while True:
                    child.append(Order(len(child)))
                    time.sleep(0.002)
        KEPT.append(number)
"""


def test_a_forked_child_answers_for_itself(tmp_path: Path) -> None:
    with running(FORKS, tmp_path) as program:
        [child] = children_of(program.process.pid, 1)
        try:
            assert probe.has_agent(child.pid)
            found = probe.profile(child, folder=program.folder, seconds=1.0)
            assert found["pid"] == child.pid
            assert found["holders"][0]["chain"][0].startswith("local variable child of step")
            assert probe.count(program.incarnation, folder=program.folder)["pid"] == program.process.pid
        finally:
            os.kill(child.pid, signal.SIGKILL)


def test_a_fork_in_the_middle_of_a_window_leaves_no_tracing_in_the_child(tmp_path: Path) -> None:
    body = """
    import os, tracemalloc
    def step(number):
        if tracemalloc.is_tracing():
            read, write = os.pipe()
            if os.fork() == 0:
                os.write(write, b"%d" % tracemalloc.is_tracing())
                os._exit(0)
            Path(sys.argv[1], "tracing").write_bytes(os.read(read, 1))
            os.close(read); os.close(write); os.wait()
    """
    with running(body, tmp_path) as program:
        probe.profile(program.incarnation, folder=program.folder, seconds=1.0)
        assert (program.folder / "tracing").read_text() == "0"
        assert program.process.poll() is None


def test_a_window_is_bounded_by_the_memory_of_its_traces(tmp_path: Path) -> None:
    body = """
    KEPT = []
    def step(number):
        KEPT.extend([number, value] for value in range(300))
    """
    with running(body, tmp_path) as program:
        found = probe.profile(program.incarnation, folder=program.folder, seconds=30.0, most_trace_bytes=2_000_000)
    assert found["traced"]["ended_early"] == "the traces took more than 2 MB"
    assert found["traced"]["seconds"] < 10


def test_one_setting_switches_it_off(tmp_path: Path) -> None:
    with running(INNOCENT["ring"], tmp_path, "off", MILLRACE_MEMORY_AGENT="off") as program:
        assert not probe.has_agent(program.process.pid)
        with pytest.raises(NoAgent, match="no folder"):
            probe.count(program.incarnation, folder=program.folder)
        program.folder.mkdir(mode=0o700)
        with pytest.raises(NoAgent, match="does not handle signal"):
            probe.count(program.incarnation, folder=program.folder)
        assert program.process.poll() is None, "it was not signalled"


def test_a_process_in_compiled_code_is_not_waited_for(tmp_path: Path) -> None:
    body = """
    def step(number):
        if number == 50:
            sum(range(10**11))
    """
    with running(body, tmp_path) as program:
        time.sleep(0.5)
        with pytest.raises(NoAnswer, match="did not answer within"):
            probe.count(program.incarnation, folder=program.folder, seconds=0.5)
        assert [file.name for file in program.folder.iterdir()] == [MARK]


def test_a_process_that_ended_or_another_incarnation_is_not_asked(tmp_path: Path) -> None:
    with running(INNOCENT["ring"], tmp_path) as program:
        process = program.incarnation
        other = Incarnation(process.host, process.pid, process.start_ticks - 1)
        with pytest.raises(ProcessGone, match="another process has its id"):
            probe.count(other, folder=program.folder)
        program.process.kill()
        program.process.wait()
        with pytest.raises(ProcessGone):
            probe.count(process, folder=program.folder)


def test_questions_of_strangers_and_nonsense_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    exchange.make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    exchange.ask(folder, 7, Ask("abc", 1))
    assert exchange.take(folder, 7, 2) is None, "asked of another incarnation"
    assert exchange.take(folder, 7, 1) is None, "taken away"
    (tmp_path / "elsewhere").write_text("{}")
    (folder / "7.ask").symlink_to(tmp_path / "elsewhere")
    assert exchange.take(folder, 7, 1) is None
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(MemoryAuditError, match="private"):
        exchange.make_private(tmp_path / "open")


@pytest.mark.root
def test_a_question_that_another_user_wrote_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    exchange.make_private(folder)
    exchange.ask(folder, 7, Ask("abc", 1))
    os.chown(folder / "7.ask", 12345, -1)
    assert exchange.take(folder, 7, 1) is None


@pytest.mark.parametrize(
    "field", [{"seconds": 1e9}, {"frames": 0}, {"top": True}, {"act": "shell"}, {"number": "../x"}]
)
def test_a_question_has_bounds(field: dict[str, Any]) -> None:
    with pytest.raises(MemoryAuditError, match=f"{next(iter(field))} is"):
        Ask(**{"number": "abc", "start_ticks": 1, **field}).checked()


def test_an_error_inside_comes_back_and_the_host_goes_on(tmp_path: Path) -> None:
    body = """
    from include.memory.inside import evidence
    def fail(question):
        raise RuntimeError("no such luck")
    evidence.gather = fail
    def step(number):
        pass
    """
    with running(body, tmp_path) as program:
        with pytest.raises(BadAnswer, match="RuntimeError: no such luck"):
            probe.count(program.incarnation, folder=program.folder)
        assert program.process.poll() is None


HEAVY = """
    import os
    TREE = [{"number": number, "name": str(number), "parts": [number]} for number in range(150_000)]
    def step(number):
        orders = [Order(value) for value in range(500)]
        if Path(sys.argv[1], "stop").exists():
            Path(sys.argv[1], "longest").write_text(str(longest))
            os._exit(0)
"""


def test_a_profile_of_a_large_heap_pauses_the_host_but_briefly(tmp_path: Path) -> None:
    """300,000 containers: the pause is that of the collector's own full run; the bound here is for a busy machine."""
    with running(HEAVY, tmp_path) as program:
        probe.count(program.incarnation, folder=program.folder)
        found = probe.profile(program.incarnation, folder=program.folder, seconds=3.0)
        (program.folder / "stop").touch()
        program.process.wait(timeout=10)
        longest = float((program.folder / "longest").read_text())
    print(f"longest pause: host {longest * 1e3:.0f} ms, agent {found['longest_pause_seconds'] * 1e3:.0f} ms")
    assert longest < 0.5
    assert found["longest_pause_seconds"] < 0.25


def test_another_user_is_told_that_it_may_not_ask(tmp_path: Path) -> None:
    with running(INNOCENT["ring"], tmp_path) as program:

        def ask(pid: int) -> str:
            try:
                probe.count(incarnation_of(pid), folder=program.folder if pid == program.incarnation.pid else None)
            except NoAgent as error:
                return str(error)
            return "answered"

        said = as_stranger(ask, program.incarnation.pid)
        assert re.fullmatch(r"process \d+ (can't be queried by this user|has no agent): .*", said)
        assert program.process.poll() is None


def test_few_heavy_entries_come_before_many_light_ones(tmp_path: Path) -> None:
    body = """
    KEPT, NAMES = list(range(20)), {}
    def step(number):
        NAMES[number % 3_000 + (number // 3_000) * 3_000] = True
        if number % 40 == 0:
            KEPT.append([str(one) for one in range(3_000)])
    """
    with running(body, tmp_path) as program:
        found = probe.profile(program.incarnation, folder=program.folder, seconds=SECONDS)
    kept, names = found["holders"][:2]
    assert kept["chain"][1].startswith(".KEPT list")
    assert names["chain"][1].startswith(".NAMES dict")
    entries = kept["after"] - kept["before"]
    assert 80_000 * entries < kept["bytes"] < 400_000 * entries
    assert names["bytes"] < kept["bytes"] / 5


def test_the_weight_of_an_entry_is_its_own() -> None:
    shared = {"text": "x" * 10_000}
    rows = [{"shared": shared, "own": "y" * 1_000 + str(number)} for number in range(30)]
    assert weight_of_entry(rows) == pytest.approx(1_250, abs=150)
    assert weight_of_entry(dict(enumerate(rows))) == pytest.approx(1_250, abs=150)
    assert weight_of_entry(deque(rows)) == pytest.approx(1_250, abs=150)
    assert 40 <= weight_of_entry({str(number) for number in range(100)}) < 60
    assert weight_of_entry([]) == weight_of_entry(7) == 0

    class Loud:
        def __sizeof__(self) -> int:
            raise AssertionError("the program's own method was called")

    assert 0 < weight_of_entry([Loud() for _ in range(30)]) < 500


def test_a_leak_in_a_worker_forked_from_a_frozen_parent_is_named(tmp_path: Path) -> None:
    tail = """
    class Sink:
        def __init__(self):
            self.kept = {"orders": []}

    SINK = Sink()
    many = [[number] for number in range(50_000)]
    agent.install(Path(sys.argv[1]))
    gc.freeze()
    child = os.fork()
    if child == 0:
        while True:
            SINK.kept["orders"].append(Order(1))
            time.sleep(0.002)
    gc.unfreeze()
    print("ready", flush=True)
    try:
        os.wait()
    finally:
        os.kill(child, 9)
    """
    with running("", tmp_path, tail=tail) as program:
        [child] = children_of(program.process.pid, 1)
        try:
            found = probe.profile(child, folder=program.folder, seconds=SECONDS)
        finally:
            os.kill(child.pid, signal.SIGKILL)
    holder = found["holders"][0]
    assert found["counters"]["frozen_objects"] > 50_000
    assert holder["complete"]
    assert " > ".join(holder["chain"]).startswith(
        "module __main__ > .SINK __main__.Sink > .kept dict of 1 > ['orders'] list"
    )
    assert found["longest_pause_seconds"] < 0.25


def test_what_asyncio_keeps_of_the_dead_is_left_alone(tmp_path: Path) -> None:
    body = """
    import asyncio
    LOOP = asyncio.new_event_loop()
    async def wait_for_many():
        await asyncio.gather(*(asyncio.sleep(0.0001) for _ in range(30)))
    def step(number):
        LOOP.run_until_complete(wait_for_many())
        gc.collect()
    """
    with running(body, tmp_path) as program:
        for _ in range(2):
            probe.profile(program.incarnation, folder=program.folder, seconds=0.5)
        before = program.done
        time.sleep(1.0)
        assert program.done > before + 3, "a collection goes on for ever"
