"""The HTTP interface under /ingest that changes something: rejected rows are corrected, tried, dismissed and replayed.

Airflow is not imported: who may do what, how a replay is begun and how files are reached is handed in by the bridge. A
replay is done by a task of Airflow and not here: it may take longer than a request, and must not end with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from include.ingest.api import Limit, Name, Seen, Text, allow
from include.ingest.errors import ChangedMeanwhile, IngestError
from include.ingest.replay import asked, requests
from include.ingest.replay.choice import Choice
from include.ingest.replay.corrections import changes, correct, dismiss_one, reopen_one, restore
from include.ingest.replay.desk import Desk
from include.ingest.replay.edits import cells, row_of
from include.pages.same_site import same_site

MOST_IDS = 10_000  # rows that are named one by one
Record = Annotated[str, StringConstraints(max_length=1 << 20)]


@dataclass(frozen=True)
class Rights:
    """Who may do what, as dependencies of the routes."""

    enter: Callable[..., Any]  # lets in who may see runs at all
    sees: Callable[..., Any]  # gives a `Seen`
    changes: Callable[..., Any]  # gives a `Seen` of those whose runs the user may start
    who: Callable[..., Any]  # gives the user's name


class Edit(BaseModel):
    """What a record is to be: some of its columns (null: as the dataset writes null), or the whole text."""

    model_config = ConfigDict(extra="forbid")

    fields: dict[str, Record | None] | None = None
    record: Record | None = None


class Saved(Edit):
    """The same, to be kept. `seen` is the number of the last change that the user has seen, 0 for none."""

    seen: int = Field(ge=0)


class Dismissal(BaseModel):
    """Why a row needs no replay. `seen` as in `Saved`."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)] = ""
    seen: int = Field(ge=0)


class Wish(BaseModel):
    """Which rows are to be replayed: of a run or of a dataset, by what they broke, or one by one."""

    model_config = ConfigDict(extra="forbid")

    dataset: Name
    run_id: UUID | None = None
    ids: list[int] | None = Field(None, min_length=1, max_length=MOST_IDS)
    rule: Text | None = None
    column: Text | None = None
    corrected: bool = False


def router(desk: Callable[[], Desk], rights: Rights) -> APIRouter:
    """The routes. `desk` is asked at each request."""
    routes = APIRouter(prefix="/ingest", dependencies=[Depends(rights.enter)], tags=["ingest"])
    _add_row(routes, desk, rights)
    _add_corrections(routes, desk, rights)
    _add_dismissals(routes, desk, rights)
    _add_replays(routes, desk, rights)
    return routes


def _add_row(routes: APIRouter, desk: Callable[[], Desk], rights: Rights) -> None:
    seeing, changing = Depends(rights.sees), Depends(rights.changes)

    @routes.get("/rejected/{rejected_id}")
    async def get_rejected(rejected_id: int, sees: Seen = seeing, may: Seen = changing) -> dict[str, Any]:
        """A rejected row, to be edited: its fields by column, what is wrong, and who changed what."""
        here = desk()
        row = await _row(here, rejected_id)
        await allow(sees, row["dataset"], "see runs of")
        allowed = bool(await may([row["dataset"]]))
        if allowed and row["state"] == "open":
            here.checker.warm()
        return await _shown(here, row, allowed)


def _add_corrections(routes: APIRouter, desk: Callable[[], Desk], rights: Rights) -> None:
    changing, named = Depends(rights.changes), Depends(rights.who)

    @routes.post("/rejected/{rejected_id}/check", dependencies=[Depends(same_site)])
    async def check_rejected(rejected_id: int, edit: Edit, may: Seen = changing) -> dict[str, Any]:
        """Whether the row would be accepted with this edit, or as it is now, and what is still wrong. Keeps nothing."""
        here = desk()
        row = await _changeable(here, rejected_id, may)
        dataset = await here.dataset(row["dataset"])
        try:
            found = await here.checker.check(await here.dsn(), dataset, rejected_id, edit.fields, edit.record)
        except IngestError as error:
            found = {"refused": str(error)}
        if "refused" in found:
            return {"accepted": False, "record": None, "faults": [
                {"column": None, "value": None, "rule": "record", "reason": found["refused"]}
            ]}  # fmt: skip
        return {"accepted": not found["faults"], **found}

    @routes.put("/rejected/{rejected_id}/correction", dependencies=[Depends(same_site)], response_model=dict[str, Any])
    async def correct_rejected(
        rejected_id: int, edit: Saved, may: Seen = changing, who: str = named
    ) -> dict[str, Any] | JSONResponse:
        """Keep an edit of an open row; 409 with what somebody else wrote if that was after `seen`."""
        here = desk()
        row = await _changeable(here, rejected_id, may)
        dataset = await here.dataset(row["dataset"])

        def save(connection: Connection[Any]) -> None:
            correct(connection, dataset, rejected_id, who=who, fields=edit.fields, raw=edit.record, seen=edit.seen,
                    storage=here.storage)  # fmt: skip

        return await _changed(here, rejected_id, save)

    @routes.delete(
        "/rejected/{rejected_id}/correction", dependencies=[Depends(same_site)], response_model=dict[str, Any]
    )
    async def restore_rejected(
        rejected_id: int, seen: Annotated[int, Query(ge=0)], may: Seen = changing,
        who: str = named,
    ) -> dict[str, Any] | JSONResponse:  # fmt: skip
        """Take the corrections of an open row back; 409 as for a correction."""
        here = desk()
        row = await _changeable(here, rejected_id, may)

        def save(connection: Connection[Any]) -> None:
            restore(connection, rejected_id, dataset=row["dataset"], who=who, seen=seen)

        return await _changed(here, rejected_id, save)


def _add_dismissals(routes: APIRouter, desk: Callable[[], Desk], rights: Rights) -> None:
    changing, named = Depends(rights.changes), Depends(rights.who)
    path, safe = "/rejected/{rejected_id}/dismissal", [Depends(same_site)]

    @routes.put(path, dependencies=safe, response_model=dict[str, Any])
    async def dismiss_rejected(
        rejected_id: int, dismissal: Dismissal, may: Seen = changing, who: str = named
    ) -> dict[str, Any] | JSONResponse:
        """Close an open row for good, as it needs no replay; 409 as for a correction."""
        here = desk()
        row = await _changeable(here, rejected_id, may)

        def save(connection: Connection[Any]) -> None:
            dismiss_one(connection, rejected_id, dataset=row["dataset"], who=who, why=dismissal.why,
                        seen=dismissal.seen)  # fmt: skip

        return await _changed(here, rejected_id, save)

    @routes.delete(path, dependencies=safe, response_model=dict[str, Any])
    async def reopen_rejected(
        rejected_id: int, seen: Annotated[int, Query(ge=0)], may: Seen = changing, who: str = named
    ) -> dict[str, Any] | JSONResponse:
        """Open a dismissed row again; 409 as for a correction."""
        here = desk()
        row = await _changeable(here, rejected_id, may)

        def save(connection: Connection[Any]) -> None:
            reopen_one(connection, rejected_id, dataset=row["dataset"], who=who, why="", seen=seen)

        return await _changed(here, rejected_id, save)


def _add_replays(routes: APIRouter, desk: Callable[[], Desk], rights: Rights) -> None:
    seeing, changing, named = Depends(rights.sees), Depends(rights.changes), Depends(rights.who)

    @routes.put("/replays/{request_id}", dependencies=[Depends(same_site)], status_code=202)
    async def ask_replay(request_id: UUID, wish: Wish, may: Seen = changing, who: str = named) -> dict[str, Any]:
        """Have rejected rows replayed, by a run of `replay_rejected`. Whoever asks makes up the id: twice is once."""
        here = desk()
        await allow(may, wish.dataset, "start runs of")
        await here.dataset(wish.dataset)
        choice = Choice(wish.ids, wish.rule, wish.column, wish.corrected)
        request = requests.Request(request_id, wish.dataset, who, wish.run_id, choice)
        known = await here.read(lambda connection: asked.dataset_of(connection, request_id))
        if known is not None and known != wish.dataset:
            raise HTTPException(409, f"replay {request_id} is another one: make up a new id")
        try:
            await here.write(lambda connection: requests.ask(connection, request))
            await run_in_threadpool(here.start, request_id, who)
        except IngestError as error:
            reason = str(error)
            await here.write(lambda connection: requests.finish(connection, request_id, reason))
            raise HTTPException(409, reason) from None
        return await _replay(here, request_id)

    @routes.get("/replays")
    async def list_replays(
        dataset: Name | None = None, run_id: UUID | None = None, after: UUID | None = None, limit: Limit = 20,
        sees: Seen = seeing,
    ) -> dict[str, Any]:  # fmt: skip
        """Replays that were asked for, the newest first: by whom, of what, and what they came to."""
        here = desk()
        names = [dataset] if dataset else await here.read(asked.names)
        seen = sorted(await sees(names))
        if dataset and not seen:
            await allow(sees, dataset, "see runs of")
        page = await here.read(lambda connection: asked.page_of(connection, seen, run_id, after, limit))
        return {**page, "replays": [_told(here, one) for one in page["replays"]]}

    @routes.get("/replays/{request_id}")
    async def get_replay(request_id: UUID, sees: Seen = seeing) -> dict[str, Any]:
        """A replay that was asked for: how far it is, what it came to, and the runs that it is in the ledger."""
        here = desk()
        name = await here.read(lambda connection: asked.dataset_of(connection, request_id))
        if name is None:
            raise HTTPException(404, f"nobody has asked for replay {request_id}")
        await allow(sees, name, "see runs of")
        return await _replay(here, request_id)


async def _row(here: Desk, rejected_id: int) -> dict[str, Any]:
    row = await here.read(lambda connection: row_of(connection, rejected_id)) if rejected_id < 1 << 63 else None
    if row is None:
        raise HTTPException(404, f"there is no rejected row {rejected_id}: it may have gone with its run")
    return row


async def _changeable(here: Desk, rejected_id: int, may: Seen) -> dict[str, Any]:
    """The row, where the user may change it."""
    row = await _row(here, rejected_id)
    await allow(may, row["dataset"], "start runs of")
    return row


async def _shown(here: Desk, row: dict[str, Any], may: bool) -> dict[str, Any]:
    history = await here.read(lambda connection: changes(connection, row["id"]))
    entry = (await run_in_threadpool(here.catalogue.entries)).get(row["dataset"])
    dataset = entry.dataset if entry else None
    fields, why = cells(row, dataset) if dataset else ([], "there is no good dataset file any more")
    types = {name: column.type for name, column in dataset.columns.items()} if dataset else {}
    names = ("id", "run_id", "dataset", "version", "file", "line_number", "column_name", "value", "rule", "reason",
             "raw", "corrected", "replay_run", "earlier", "run_status")  # fmt: skip
    corrected = row["state"] == "open" and row["corrected"] is not None
    return {
        **{name: row[name] for name in names},
        "state": "corrected" if corrected else row["state"],
        "whole": bool(row["whole"]),
        "fields": [{"column": name, "value": value, "type": types.get(name)} for name, value in fields],
        "no_fields": why,
        "may_change": may,
        "changes": history,
        "seen": max((change.number for change in history), default=0),
    }


async def _changed(
    here: Desk, rejected_id: int, save: Callable[[Connection[Any]], None]
) -> dict[str, Any] | JSONResponse:
    """Do it, and show the row as it is then."""
    try:
        await here.write(save)
    except ChangedMeanwhile as error:
        change = {"who": error.who, "at": error.at.isoformat(), "action": error.action, "record": error.after}
        return JSONResponse({"refused": str(error), "change": change}, 409)
    except IngestError as error:
        raise HTTPException(409, str(error)) from None
    return await _shown(here, await _row(here, rejected_id), True)


async def _replay(here: Desk, request_id: UUID) -> dict[str, Any]:
    return _told(here, await here.read(lambda connection: asked.one(connection, request_id)))


def _told(here: Desk, replay: dict[str, Any]) -> dict[str, Any]:
    return {**replay, "airflow_run": f"{here.dag}/{run_name(replay['id'])}"}


def run_name(request_id: UUID) -> str:
    """What Airflow calls the run of a request."""
    return f"replay__{request_id}"
