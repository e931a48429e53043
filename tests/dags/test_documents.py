"""The commands of README.md and docs/ on the running stack: a page is a session of a shell in the clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from samples import orders
from tests.dags.conftest import METRICS_TOKEN, Airflow
from tests.docs import rules
from tests.docs.fences import REPOSITORY, Fence, commands, written_in
from tests.images import pictures
from tests.waiting import appeared, until

FENCES = [fence for fence in written_in("sh") if any(map(rules.runs, commands(fence.text)))]
PAGES = sorted({fence.page for fence in FENCES})
DAYS = [f"2026-03-{day:02}" for day in range(1, 5)]
END = "end of this command"
TOLD = re.compile(r"^\| `(\w+)` \|(.*?)\|", re.MULTILINE)  # a metric of the reference, with its labels
ASKED = re.compile(r"^(\w+)\{(.*)\} ", re.MULTILINE)  # a figure, with its labels and their values


class Shell:
    """A bash in the clone's folder, which runs one command at a time."""

    def __init__(self, airflow: Airflow) -> None:
        plain = {
            name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE", "AIRFLOW", "PG"))
        }
        more = {"METRICS_TOKEN": METRICS_TOKEN, "WAREHOUSE": airflow.settings.database_url("warehouse")}
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=airflow.folder, env={**plain, **more}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.errors: list[str] = []
        assert self.process.stderr is not None
        threading.Thread(target=self.errors.extend, args=[self.process.stderr], daemon=True).start()

    def run(self, command: str) -> str:
        """What it prints; its exit code must be 0."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\necho; echo {END} $?\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.startswith(END):
                assert line == f"{END} 0\n", f"{command}\n{''.join(lines)}{''.join(self.errors)}"
                return "".join(lines)[:-1]
            lines.append(line)
        raise AssertionError(f"the shell has ended: {command}")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def clone(airflow: Airflow) -> Iterator[Airflow]:
    """The stack's folder, as a reader's clone: with `run`, the files of the guides, and some days of orders."""
    shutil.copy(REPOSITORY / "run", airflow.folder)
    (airflow.folder / ".venv").symlink_to(REPOSITORY / ".venv")
    for name, text in rules.files().items():
        (airflow.folder / name).write_text(text)
    for number, name in enumerate(("photo.jpg", "other.jpg")):
        (airflow.folder / name).write_bytes(pictures.encoded(pictures.photo(400, 300, 60 + number), "JPEG"))
    for fence in written_in("yaml"):
        if dataset := re.search(r"^name: (\w+)$", fence.text, re.MULTILINE):  # others are recipes
            (airflow.folder / "include" / "datasets" / f"{dataset[1]}.yaml").write_text(fence.text)
    airflow.read_again()
    folder = airflow.settings.inbox / "orders"
    folder.mkdir(parents=True, exist_ok=True)
    for number, day in enumerate(DAYS):
        with (folder / f"orders_{day}.csv").open("wb") as out:
            orders.write(out, orders.Shape(500, changed=0.1 * number))
    yield airflow
    for dag in ("ingest_orders", "ingest_stock"):
        airflow.api.patch(f"dags/{dag}", {"is_paused": True})


@pytest.fixture(scope="module")
def faults(clone: Airflow) -> dict[str, str]:
    """What went wrong on each page; they run two at a time, as each of Airflow's commands takes seconds to start."""
    with ThreadPoolExecutor(2) as lanes:
        return dict(zip(PAGES, lanes.map(lambda page: session(clone, page), PAGES), strict=True))


def session(clone: Airflow, page: str) -> str:
    """Run a page; returns what went wrong."""
    shell = Shell(clone)
    try:
        for fence in (fence for fence in FENCES if fence.page == page):
            run(shell, clone, fence)
    except AssertionError as fault:
        return f"{page}: {fault}"
    finally:
        shell.close()
    return ""


def run(shell: Shell, clone: Airflow, fence: Fence) -> None:
    """Run a fence, and compare what it prints. Look again where it asks for what a run of Airflow is still at."""
    texts = [prepared(clone, command) for command in commands(fence.text) if rules.runs(command)]
    printed = "".join(map(shell.run, texts))
    if fence.output is None:
        return
    if all(text.startswith("./run psql ") for text in texts):
        until(lambda: agrees("".join(map(shell.run, texts)), fence), f"{fence.place} to print its output")
    assert agrees(printed, fence) or texts[0].startswith("./run psql "), f"{fence.place} printed\n{printed}"


def prepared(clone: Airflow, command: str) -> str:
    """The command with what a reader would look up; a DAG that it names is there."""
    if dag := re.match(r"\./run airflow .*?\b(ingest_\w+)", command):
        clone.read_again()
        appeared(clone.api, dag[1])
    command = command.replace("http://localhost:8080", clone.settings.url)
    return re.sub(r"^PASSWORD=…", f"PASSWORD='{clone.settings.secrets.admin}'", command)


def agrees(printed: str, fence: Fence) -> bool:
    """Whether it is what the page shows, where `…` is any text."""
    shown = ".*?".join(re.escape(part) for part in stripped(fence.output or "").split("…"))
    return re.fullmatch(rf"\s*{shown}\s*", stripped(printed), re.DOTALL) is not None


def stripped(text: str) -> str:
    """A text without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.airflow
@pytest.mark.curl
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(faults: dict[str, str], page: str) -> None:
    assert faults[page] == ""


@pytest.mark.airflow
@pytest.mark.curl
def test_the_backfill_and_the_forced_run_end_well(faults: dict[str, str], clone: Airflow) -> None:
    assert faults["docs/how-to/backfill.md"] == ""

    def done() -> bool:
        query = "SELECT version::date::text FROM millrace.ingest_run WHERE dataset = 'orders' AND status = 'done'"
        with clone.warehouse() as connection:
            return sorted(day for (day,) in connection.execute(query)) == DAYS

    until(done, "the days of the backfill, and the day that was forced")


@pytest.mark.airflow
def test_the_reference_has_every_metric_and_its_labels(airflow: Airflow) -> None:
    page = (REPOSITORY / "docs" / "reference" / "metrics.md").read_text()
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in TOLD.findall(page)}
    request = urllib.request.Request(
        f"{airflow.settings.url}/millrace/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    )
    with urllib.request.urlopen(request) as response:
        answer = response.read().decode()
    assert set(re.findall(r"^# TYPE (\w+) gauge$", answer, re.MULTILINE)) == told.keys()
    for name, labels in ASKED.findall(answer):
        assert set(re.findall(r'(\w+)="', labels)) == told[name], name
