"""One round: a file is ingested and pictures are uploaded while faults strike; then everything has to end."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx
import psycopg

from campaign.cargo import Day, Table, make_day
from campaign.faults import Fault, Hit
from campaign.ground import DAG, Ground
from samples.pictures import encoded, photo
from stack.api import AirflowApi
from stack.errors import StackError

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
STRIKE_SECONDS = 18.0  # faults strike within this time from the trigger
PICTURES = 6
TORN_BYTES = 3000
END_SECONDS = 600.0
LONG_SECONDS = 120.0  # for which a task does not wait by itself
LOOK_SECONDS = 5.0
CLEARED_SECONDS = 420.0
ENDED = ("success", "failed")
ERRORS = ("error", "critical")


@dataclass
class Run:
    """A DAG run of the round, and the file that it takes.

    `others` are what took the file's place: a run that plans anew, as its planning was killed, may see one of these.
    """

    day: Day
    file: Path
    date: datetime
    run_id: str = ""
    reason: str = ""  # what it said when it failed, once
    others: list[Day] = field(default_factory=list)


@dataclass
class Round:
    """The round's work, as the faults see it too."""

    ground: Ground
    number: int
    chance: random.Random
    faults: Sequence[Fault]
    first_date: datetime
    runs: list[Run] = field(default_factory=list)
    hits: list[tuple[Fault, Hit]] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    spoilt: bool = False  # the first run's file is not what it was
    pictures: list[str] = field(default_factory=list)  # ids that were answered 202
    refused: int = 0
    seconds: float = 0.0

    @property
    def file(self) -> Path:
        """The file of the first run."""
        return self.runs[0].file

    @property
    def day(self) -> Day:
        """What the first run was delivered."""
        return self.runs[0].day

    def play(self) -> None:
        """Everything, until the runs are done; StackError when they do not end."""
        began = time.monotonic()
        self.add_run()
        uploads = Thread(target=self._upload)
        uploads.start()
        try:
            self._strike()
        finally:
            uploads.join()
        self._be_a_person([self._await(run, END_SECONDS) for run in self.runs])
        self.seconds = time.monotonic() - began

    def add_run(self) -> None:
        """Deliver the next day's file and trigger its run."""
        date = self.first_date + timedelta(days=len(self.runs))
        file = self.ground.inbox / "campaign" / f"campaign_{date:%Y-%m-%d}.csv"
        run = Run(make_day(self.chance), file, date, f"round{self.number}_{date:%Y%m%d}")
        run.day.deliver(file)
        self.runs.append(run)
        self.ground.ask(lambda: self._trigger(run))

    def expected(self, table: Table) -> Table:
        """What the target holds after the round."""
        for run in self.runs:
            table = table.after(run.day)
        return table

    def await_plan(self, seconds: float) -> bool:
        """Wait until the first run has planned its file; False when it has not in time, or is done."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self._ledger(self.runs[0])
            if found and found[0] != "waiting":
                return found[0] == "planned"
            time.sleep(0.1)
        return False

    def spoil(self, other: Day | None) -> Day:
        """Remember what takes the place of the first run's file."""
        self.runs[0].others += [other] if other else []
        self.spoilt = True
        return other or self.runs[0].day

    def _ledger(self, run: Run) -> tuple[str, int] | None:
        """The run's state and rows read, by the warehouse's ledger; None when it can't be asked just now."""
        query = "SELECT status, coalesce(read, 0) FROM millrace.ingest_run WHERE airflow_run LIKE %s"
        with contextlib.suppress(psycopg.Error, StackError), self.ground.warehouse(2) as connection:
            return connection.execute(query, [f"%{run.run_id}%"]).fetchone()
        return None

    def _settle(self, run: Run) -> None:
        """Which of the files the run has seen, by its number of rows."""
        found = self._ledger(run)
        run.day = next((day for day in run.others if found and found[1] == day.read), run.day)

    def _trigger(self, run: Run) -> None:
        """Once: an answer that got lost is looked up."""
        if self._state(run) is None:
            body = {"dag_run_id": run.run_id, "logical_date": run.date.isoformat(), "conf": {}}
            self.ground.api.post(f"dags/{DAG}/dagRuns", body)

    def _state(self, run: Run) -> str | None:
        found = self.ground.api.get(_path(run))
        return None if found is None else str(found["state"])

    def _strike(self) -> None:
        """Each fault at its moment; what lasts is taken back when its time is over."""
        began = time.monotonic()
        moments = sorted(self.chance.uniform(0, STRIKE_SECONDS) for _ in self.faults)
        waiting = list(zip(moments, self.faults, strict=True))
        lasting: list[tuple[float, Hit]] = []
        try:
            while waiting or lasting:
                now = time.monotonic() - began
                if waiting and waiting[0][0] <= now:
                    lasting += self._strike_one(waiting.pop(0)[1], began)
                over = [one for one in lasting if one[0] <= now]
                for one in over:
                    lasting.remove(one)
                    _take_back(one[1])
                time.sleep(0.02)
        finally:
            for _, hit in lasting:
                _take_back(hit)

    def _strike_one(self, fault: Fault, began: float) -> list[tuple[float, Hit]]:
        hit = fault.strike(self)
        if hit is None:
            self.missed.append(fault)
            return []
        self.hits.append((fault, hit))
        return [(time.monotonic() - began + hit.seconds, hit)] if hit.undo else []

    def _upload(self) -> None:
        """Pictures at moments of their own; what is not answered 202 was not promised anything."""
        chance = random.Random(self.number)
        api = AirflowApi(self.ground.settings)
        for number in range(PICTURES):
            time.sleep(chance.uniform(0, 2 * STRIKE_SECONDS / PICTURES))
            data = encoded(photo(700, 500, self.number * 1000 + number), quality=90)
            if number == PICTURES - 1:
                data = data[:TORN_BYTES]
            try:
                if number == 0 or not self.pictures:
                    api.login()
                answer = api.call("POST", "millrace/images", content=data, headers={"X-File-Name": f"{number}.jpg"})
                self.pictures.append(str(answer["images"][0]["id"]))
            except (StackError, httpx.HTTPError, OSError, KeyError):
                self.refused += 1
        api.close()

    def _await(self, run: Run, seconds: float) -> str:
        deadline, look = time.monotonic() + seconds, 0.0
        while True:
            state = self.ground.ask(lambda: self._state(run))
            if state in ENDED:
                return str(state)
            if time.monotonic() > deadline:
                raise StackError(f"{run.run_id} is still {state} after {seconds:.0f} s: {self._states(run)}")
            if state == "running" and time.monotonic() > look:
                self._hurry(run)
                look = time.monotonic() + LOOK_SECONDS
            time.sleep(0.5)

    def _hurry(self, run: Run) -> None:
        """Tasks that wait for a person: read in the log why, and do it."""
        soon = datetime.now(UTC) + timedelta(seconds=LONG_SECONDS)
        for one in self._tasks(run):
            if one["state"] == "up_for_retry" and one["end_date"] and datetime.fromisoformat(one["end_date"]) > soon:
                self._try_now(run, one)
            elif one["state"] == "up_for_reschedule" and not run.file.exists():
                self._deliver_again(run, one)

    def _try_now(self, run: Run, task: dict[str, Any]) -> None:
        """A task that failed on a worker whose clock is ahead would be tried again hours later: clear it."""
        waits = f"{task['task_id']} of {run.run_id} waits until {task['end_date']}"
        run.reason = self._why(run, task, ERRORS, "clear this task", waits)
        what = {"dag_run_id": run.run_id, "task_ids": [[task["task_id"], task["map_index"]]], "dry_run": False}
        self.ground.ask(partial(self.ground.api.post, f"dags/{DAG}/clearTaskInstances", what))

    def _deliver_again(self, run: Run, task: dict[str, Any]) -> None:
        """A plan that was killed before it was done, and finds no file at its next try, waits for it: bring it."""
        waits = f"{task['task_id']} of {run.run_id} waits for its file"
        run.reason = self._why(run, task, ("info",), "waiting file=", waits)
        run.day.deliver(run.file)

    def _why(self, run: Run, task: dict[str, Any], levels: Sequence[str], words: str, waits: str) -> str:
        """The last line with these words in a waiting task's log. It may lack them only where logs had no room."""
        said = [line for line in self._said(run, task, levels) if words in line]
        if said:
            return f"{task['task_id']}: {said[-1]}"
        if "disk full: logs" not in {fault.name for fault, _ in self.hits}:
            raise StackError(f"{waits} in silence")
        return f"{waits}, as Airflow's page says"

    def _tasks(self, run: Run) -> list[dict[str, Any]]:
        path = f"{_path(run)}/taskInstances"
        found: list[dict[str, Any]] = self.ground.ask(lambda: self.ground.api.get(path, limit=100)["task_instances"])
        return found

    def _states(self, run: Run) -> str:
        states = [f"{one['task_id']}[{one['map_index']}] {one['state']}" for one in self._tasks(run)]
        return ", ".join(state for state in states if not state.endswith("success"))

    def _said(self, run: Run, task: dict[str, Any], levels: Sequence[str]) -> list[str]:
        """The lines of such levels in the log of a task's last try."""
        path = f"{_path(run)}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        with contextlib.suppress(StackError, httpx.HTTPError):
            log = self.ground.api.get(path, full_content=True, map_index=task["map_index"])
            return [_message(line) for line in log["content"] if line.get("level") in levels]
        return []

    def _be_a_person(self, states: Sequence[str]) -> None:
        """What somebody would do about a failed run: read the reason, put the file right, clear the run."""
        for run, state in zip(self.runs, states, strict=True):
            if state == "failed":
                self._put_right(run)
            self._settle(run)

    def _put_right(self, run: Run) -> None:
        run.reason = self._reason(run)
        if self.spoilt and run is self.runs[0]:
            run.day.deliver(run.file)
        self.ground.calm()
        self.ground.ask(lambda: self._clear(run))
        if self._await(run, CLEARED_SECONDS) != "success":
            raise StackError(f"{run.run_id}, cleared, failed again: {self._reason(run)}")

    def _clear(self, run: Run) -> None:
        if self._state(run) == "failed":
            self.ground.api.post(f"{_path(run)}/clear", {"dry_run": False})

    def _reason(self, run: Run) -> str:
        """The line that it says: that of the ledger, else the last error in the log of the first task that failed."""
        with self.ground.warehouse() as connection:
            query = "SELECT reason FROM millrace.ingest_run WHERE airflow_run LIKE %s AND status = 'failed'"
            row = connection.execute(query, [f"%{run.run_id}%"]).fetchone()
        if row and row[0]:
            return str(row[0])
        said = "no task failed"
        for one in self._tasks(run):
            if one["state"] == "failed":
                errors = self._said(run, one, ERRORS)
                if errors:
                    return f"{one['task_id']}: {errors[-1]}"
                said = f"{one['task_id']} failed in silence"
        return said


def _message(line: dict[str, Any]) -> str:
    detail = (line.get("error_detail") or [{}])[0]
    return f"{line.get('event')} {detail.get('exc_type', '')} {detail.get('exc_value', '')}".strip()


def _path(run: Run) -> str:
    return f"dags/{DAG}/dagRuns/{quote(run.run_id, safe='')}"


def _take_back(hit: Hit) -> None:
    if hit.undo:
        hit.undo()
