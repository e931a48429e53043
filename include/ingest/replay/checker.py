"""A process beside the pages that tries corrections: `trial` as a program, begun when needed, ended when not.

The engine takes two seconds and 150 MB to begin, which the process that serves the pages is spared; so is a `clean`
hook of a dataset, which is code that nobody there has looked at.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.ingest.dataset.definition import Dataset
from include.ingest.errors import CorrectionRefused

SECONDS = 30  # for an answer, with the begin of the process
IDLE_SECONDS = 120  # then it is ended
MOST_BYTES = 8 << 20  # of an answer, which holds the record
# Of the environment, which holds the secrets of a server: where programs and compiled functions are, and what bounds
# what may be read and run.
KEPT = (
    "PATH", "HOME", "TMPDIR", "LANG", "TZ", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES",
    "MILLRACE_DATASETS", "MILLRACE_SCRATCH", "MILLRACE_FIXED_CODE", "MILLRACE_INBOX", "MILLRACE_IMAGES_INBOX",
    "MILLRACE_ROOTS",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]


class Checker:
    """One process for all who ask, one question at a time."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None
        self._warming: asyncio.Task[Any] | None = None

    def warm(self) -> None:
        """Begin the process now, as it will be needed soon. Returns at once."""
        if self._process is None and not self._one.locked():
            self._warming = asyncio.create_task(self._warm())

    async def check(
        self, dsn: str, dataset: Dataset, rejected_id: int, fields: Mapping[str, str | None] | None, raw: str | None
    ) -> dict[str, Any]:
        """The Trial as plain values, or why there is none, as `refused`."""
        return await self._ask((dsn, dataset, rejected_id, fields, raw))

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if self._end is not None:
            self._end.cancel()
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _warm(self) -> None:
        with suppress(CorrectionRefused):
            await self._ask((None, None, 0, None, None))

    async def _ask(self, question: tuple[Any, ...]) -> dict[str, Any]:
        async with self._one:
            try:
                async with asyncio.timeout(SECONDS):
                    return await self._answer(base64.b64encode(pickle.dumps(question)) + b"\n")
            except (TimeoutError, OSError, ValueError):
                await self.end()
                raise CorrectionRefused("the check did not come to an end: save the row, and replay it") from None
            except asyncio.CancelledError:  # whoever asked is gone, and the answer would be taken for the next one's
                await self.end()
                raise

    async def _answer(self, line: bytes) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await _begin()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        await process.stdin.drain()
        answer = json.loads(await process.stdout.readline())  # an empty line: it has died
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)
        return dict(answer)

    def _rest(self) -> None:
        """Nobody has asked for a while: its input ends, and so does it."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()


async def _begin() -> asyncio.subprocess.Process:
    own = {name: value for name, value in os.environ.items() if name in KEPT}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "include.ingest.replay.trial", cwd=ROOT, env={**own, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=MOST_BYTES,
    )  # fmt: skip
