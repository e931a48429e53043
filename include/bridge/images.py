"""What the image tasks and routes need from Airflow, in plain values."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from airflow.sdk import Connection, get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include import own_folders, slots
from include.bridge import WAREHOUSE, reasons
from include.bridge.database import address, connected
from include.images.callbacks import Callbacks
from include.images.doorbell import rings
from include.images.links.signing import CONNECTION as LINKS
from include.images.links.signing import Keys
from include.images.store import FolderStore, Store
from include.images.upload.by_url import Sources
from include.roots import local_path, roots

if TYPE_CHECKING:
    from include.images.inbox import Task
    from include.images.objects import Objects

CALLBACKS = "image_callbacks"
SOURCES = "image_sources"
SWEEPER = "sweep"  # the owner of what is taken in from folders


def store() -> Store:
    """Where pictures lie: $MILLRACE_IMAGES, a folder or a URL as s3://connection@bucket/prefix.

    With a URL, files under way lie in $MILLRACE_SCRATCH, or in a folder of the system's temporary one.
    """
    place = folder(os.environ.get("MILLRACE_IMAGES", "/var/lib/millrace/images"))
    if isinstance(place, Path):
        return FolderStore(place)
    from include.images.objects import ObjectStore

    return ObjectStore(place, _scratch())


def inbox() -> Path | Objects:
    """What the daily run sweeps: $MILLRACE_IMAGES_INBOX, a folder or a URL, or `images` in $MILLRACE_INBOX."""
    chosen = os.environ.get("MILLRACE_IMAGES_INBOX")
    return folder(chosen) if chosen else Path(own_folders.inbox()) / "images"


def folder(place: str) -> Path | Objects:
    """A folder of this machine, or what a URL of Airflow's ObjectStoragePath names, reached at its first use."""
    if "://" not in place:
        return Path(place)
    if place.startswith("file://"):
        return local_path(place)
    from include.bridge import storage
    from include.images.objects import Objects

    return Objects(place, lambda: storage.connect(place))


def lanes() -> int:
    """Tasks that resize at the same time: $MILLRACE_IMAGE_LANES, or one for each core of this machine.

    Never more than their pool has: a batch that waits for a slot would be claimed and not worked off.
    """
    wanted = int(os.environ.get("MILLRACE_IMAGE_LANES") or os.cpu_count() or 1)
    return min(wanted, slots.split(conf.getint("core", "parallelism"))["images"])


def callbacks() -> Callbacks:
    """Where callbacks may go, from Connection `image_callbacks`: its password signs, its extra lists the `origins`."""
    try:
        found = Connection.get(CALLBACKS)
    except AirflowNotFoundException:
        return Callbacks()
    return Callbacks(found.password or "", tuple((found.extra_dejson or {}).get("origins", ())))


def sources() -> Sources:
    """From where pictures may be fetched, from Connection `image_sources`: its extra lists the `origins`."""
    try:
        extra = Connection.get(SOURCES).extra_dejson or {}
    except AirflowNotFoundException:
        return Sources()
    return Sources(tuple(extra.get("origins", ())), bool(extra.get("private")))


def links() -> Keys | None:
    """What signs links, from Connection `image_links`: its password, and in its extra the `previous` one.

    None without the Connection: links are off. Raises SettingError for a key that is too short.
    """
    try:
        found = Connection.get(LINKS)
    except AirflowNotFoundException:
        return None
    return Keys(found.password or "", str((found.extra_dejson or {}).get("previous") or ""))


def base_url() -> str:
    """The address of the images' interface."""
    return f"{conf.get('api', 'base_url').rstrip('/')}/millrace"


def warehouse() -> AbstractContextManager[psycopg.Connection]:
    """An open connection to the warehouse."""
    return connected(WAREHOUSE, "millrace-images")


def take_in(connection: psycopg.Connection) -> dict[str, int]:
    """Take in the form's folder, or on a daily run the inbox; mark stored pictures for new recipes. Returns counts.

    What was deleted and can't be restored any more goes; on a daily run, files that nobody needs too.
    """
    from include.images import inbox as list_of_work
    from include.images import tidy, undo
    from include.images.recipes import load_recipes
    from include.images.upload import sweep

    context: dict[str, Any] = dict(get_current_context())
    params, daily = context["params"], context["dag_run"].run_type == "scheduled"
    asked, allowed = params["path"], roots()
    place = folder(asked) if asked else inbox() if daily else None
    refusal = allowed.refusal(asked) if asked else None
    if isinstance(place, Path):
        place = Path(os.path.realpath(place))  # once: what is judged is what is read
        refusal = refusal or (asked and allowed.refusal_of_file(place, asked))
    if refusal:
        raise reasons.stop(f"{refusal}. Then trigger the run again")
    if asked and isinstance(place, Path) and not place.is_dir():
        raise reasons.stop(f"there is no folder {asked}: trigger the run again with another path")
    counts = {}
    if place:
        chosen = str(load_recipes().choose(SWEEPER))
        counts = sweep.sweep(connection, store(), place, owner=SWEEPER, recipes=chosen)
    if gone := undo.expire(connection, store()):
        counts["removed"] = gone
    if daily:
        counts |= tidy.tidy(connection, store())
    if params["everything"]:
        counts["remade"] = list_of_work.remake(connection, load_recipes())
    return counts


def share(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """What waits, shared among the mapped tasks: the batch's id, its number, and how many there are."""
    from include.images import inbox as list_of_work

    found = list_of_work.open_batches(connection, lanes(), run_id())
    return [{"id": str(batch), "number": n, "batches": len(found)} for n, batch in enumerate(found, start=1)]


def run_id() -> str:
    """Which run this is."""
    return str(get_current_context()["run_id"])


def task(number: int) -> Task:
    """The mapped task of that number, from 1 on, in this run."""
    from include.images.inbox import Task

    return Task(run_id(), number - 1)


def _scratch() -> Path:
    chosen = os.environ.get("MILLRACE_SCRATCH")
    if chosen:
        return Path(chosen)
    ours = Path(tempfile.gettempdir()) / f"millrace-images-{os.getuid()}"
    ours.mkdir(mode=0o700, exist_ok=True)
    if ours.is_symlink() or ours.lstat().st_uid != os.getuid():
        raise PermissionError(f"{ours} belongs to another user; set $MILLRACE_SCRATCH to another folder")
    return ours


class ImagesWaiting(BaseEventTrigger):
    """Fires when pictures wait. The event is only a doorbell: what there is to do, the task finds in the database."""

    def __init__(self, conn_id: str = WAREHOUSE) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        return "include.bridge.images.ImagesWaiting", {"conn_id": self.conn_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ring whenever pictures wait."""
        found = await Connection.async_get(self.conn_id)
        async for _ in rings(lambda: address(found, "millrace-doorbell")):
            yield TriggerEvent({})  # type: ignore[no-untyped-call]
