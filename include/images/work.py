"""One batch: each picture in a child process, its renditions into the store, the outcome into the list of work.

Waiting for the disk takes as long as making a small picture, so some pictures wait for it together: what was made is
stored and entered in groups.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from include.images import inbox
from include.images.engine.render import Rendered
from include.images.engine.sandbox import Sandbox
from include.images.errors import ImageError, Rejected
from include.images.limits import LIMITS, keeps_position
from include.images.recipes import Recipes
from include.images.store import Name, Store, StoreFault, full

LONGEST_SECONDS = 300.0  # after this a task ends, and the next run goes on: well below its `execution_timeout`
GROUP, GROUP_SECONDS = 12, 0.4  # pictures that are stored together, and how long the first of them may wait
STALLS = 2  # pictures in a row that the store fails at, before the rest is left for later


def resize_batch(
    connection: Connection[Any], store: Store, recipes: Recipes, batch: UUID, *, lanes_free: bool = False,
    task: inbox.Task = inbox.NOBODY,
) -> dict[str, Any]:  # fmt: skip
    """Make the renditions of a batch, and of what waits meanwhile: further claims go under the same batch.

    Safe to run again: what is done is not done twice. With `lanes_free`, more tasks could work than do; it ends after
    its batch when more than a batch waits, so that the next run shares it. Returns how many are done and failed, and
    the seconds. Raises StoreFault when the store gives or takes nothing: what is left stays claimed, for a retry or
    until the claim is over, and loses no attempt.
    """
    began = time.monotonic()
    with Sandbox(recipes, position=keeps_position()) as sandbox:
        work = _Work(connection, store, recipes, batch, sandbox)
        while True:
            work.work_off()
            if time.monotonic() - began > LONGEST_SECONDS or (lanes_free and inbox.waiting(connection) > inbox.BATCH):
                break
            if not inbox.claim(connection, batch, task=task):
                break
    return {**work.counts, "seconds": round(time.monotonic() - began, 3)}


@dataclass(frozen=True)
class _Picture:
    """One that was made and is not stored yet."""

    digest: str
    folder: Path
    made: dict[str, Rendered]  # by the choices of its uploads, each in a folder that is called by its number

    def files(self) -> dict[Name, Path]:
        """Its renditions."""
        return {
            Name(self.digest, one.recipe, one.file): self.folder / str(number) / one.file
            for number, rendered in enumerate(self.made.values())
            for one in rendered.renditions
        }


@dataclass
class _Work:
    """A batch under way."""

    connection: Connection[Any]
    store: Store
    recipes: Recipes
    batch: UUID
    sandbox: Sandbox
    counts: Counter[str] = field(default_factory=lambda: Counter(done=0, failed=0))
    group: list[_Picture] = field(default_factory=list)
    stalls: int = 0

    def work_off(self) -> None:
        """Make what is claimed now. A picture that the store fails at is passed over; so many in a row end it."""
        fault: StoreFault | None = None
        try:
            since = time.monotonic()
            for digest, attempts in inbox.batch_of(self.connection, self.batch):
                try:
                    self._make(digest, attempts)
                    if len(self.group) >= GROUP or time.monotonic() - since > GROUP_SECONDS:
                        self._keep()
                        since = time.monotonic()
                except StoreFault as error:
                    fault = error
                if self.stalls >= STALLS:
                    break
            self._keep()
        except StoreFault as error:
            fault = error
        finally:
            for picture in self.group:
                shutil.rmtree(picture.folder, ignore_errors=True)
        if fault is not None:
            raise fault

    def _make(self, digest: str, attempts: int) -> None:
        """Put a picture into the group, or enter that it failed. Raises StoreFault."""
        if attempts >= LIMITS.attempts:
            self._fail(digest, "killed", f"its worker died {attempts} times while it was resized", final=True)
            return
        inbox.begin(self.connection, self.batch, digest)
        try:
            self.group.append(self._render(digest))
        except StoreFault as fault:
            self._stall(digest, fault)
            raise
        except ImageError as error:
            self._fail(digest, error.code, str(error), final=error.permanent)
        else:
            self.stalls = 0
            inbox.rest(self.connection, self.batch, digest)

    def _render(self, digest: str) -> _Picture:
        try:
            folder = Path(tempfile.mkdtemp(dir=self.store.scratch(), prefix="resize-"))
        except OSError as fault:
            raise full(fault) from fault
        try:
            return _Picture(digest, folder, self._render_each(digest, folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _render_each(self, digest: str, folder: Path) -> dict[str, Rendered]:
        """For each choice of its uploads; what only some recipes can be made of is done by those."""
        source, made, refused = self.store.source(digest, folder), dict[str, Rendered](), dict[str, Rejected]()
        for choice in inbox.choices(self.connection, digest):
            if made or refused:  # each may take almost as long as a claim holds
                inbox.go_on(self.connection, self.batch, digest)
            place = folder / str(len(made))
            place.mkdir(exist_ok=True)
            try:
                made[choice] = self.sandbox.render(source, place, choice)
            except Rejected as fault:
                refused[choice] = fault
        if not made:
            raise next(iter(refused.values()))
        return made | dict.fromkeys(refused, replace(next(iter(made.values())), renditions=()))

    def _keep(self) -> None:
        """Store the group and enter it; when the store fails, each picture alone. Raises StoreFault."""
        group, self.group = self.group, []
        try:
            try:
                self._store(group)
            except StoreFault:
                self._keep_each(group)
        finally:
            for picture in group:
                shutil.rmtree(picture.folder, ignore_errors=True)

    def _keep_each(self, group: list[_Picture]) -> None:
        last: StoreFault | None = None
        for picture in group:
            inbox.begin(self.connection, self.batch, picture.digest)
            try:
                self._store([picture])
                self.stalls = 0
            except StoreFault as fault:
                self._stall(picture.digest, fault)
                last = fault
            if self.stalls >= STALLS:
                break
        if last is not None:
            raise last

    def _store(self, group: list[_Picture]) -> None:
        self.store.keep_renditions({name: path for picture in group for name, path in picture.files().items()})
        made = {picture.digest: picture.made for picture in group}
        done, stale = inbox.finish(self.connection, self.batch, self.recipes, made)
        self.counts["done"] += done
        self.store.drop_renditions(Name(*one) for one in stale)

    def _stall(self, digest: str, fault: StoreFault) -> None:
        inbox.stall(self.connection, self.batch, digest, fault.code, str(fault))
        self.stalls += 1

    def _fail(self, digest: str, code: str, reason: str, *, final: bool) -> None:
        inbox.fail(self.connection, self.batch, digest, code, reason, final=final)
        self.counts["failed"] += 1
