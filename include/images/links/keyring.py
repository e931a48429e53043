"""The keys of links as the Connection has them now, so that to change or remove it takes no restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from include.images.errors import SettingError
from include.images.links.signing import Keys

SECONDS = 1.0  # for so long the keys that were read are used again by whoever follows a link
log = logging.getLogger(__name__)


class Keyring:
    """`ask` reads the Connection: None where there is none, so that links are off. It blocks."""

    def __init__(self, ask: Callable[[], Keys | None] = lambda: None) -> None:
        self._ask = ask
        self._known: tuple[float, Keys | None] | None = None
        self._lock = asyncio.Lock()

    async def fresh(self) -> Keys | None:
        """The keys of this moment, to sign with. Raises SettingError for a short one."""
        return await asyncio.to_thread(self._ask)

    async def recent(self) -> Keys | None:
        """The keys of this second; none where one is short, which the log says.

        Anybody may ask for this, and the keys lie in Airflow's database: so it is asked once a second, by one.
        """
        async with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > SECONDS:
                self._known = time.monotonic(), await self._look()
            return self._known[1]

    async def _look(self) -> Keys | None:
        try:
            return await self.fresh()
        except SettingError as fault:
            log.error("links are off: %s", fault)
            return None
