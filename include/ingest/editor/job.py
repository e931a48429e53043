"""What a child process is told, and how one is run: for so long and no longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from include.ingest.dataset.definition import Dataset
from include.ingest.source.storage import scratch_of

ROOT = Path(__file__).resolve().parents[3]
SECONDS = {"check": 30, "preview": 90}
LONGEST_TEXT = 256_000  # bytes of a dataset file
# That decide how much memory, disk and time a file takes: the stored file's count, whatever the edited one says.
LIMITS = ("chunk_bytes", "block_bytes", "max_record_bytes", "unpack_limit")


class Failed(Exception):
    """The child came to no answer, and why, in words for the user."""


@dataclass(frozen=True)
class Job:
    """`files`: path and version (ISO 8601) of what the ledger's runs of the dataset read; the first that is there."""

    kind: Literal["check", "preview"]
    name: str
    text: str
    clean: str | None  # of the stored file
    source: str | None
    limits: dict[str, Any]
    files: list[tuple[str, str]]
    connect: str | None = None  # module:function that gives a URL's file system, as `Storage.connect`


def job_for(
    kind: Literal["check", "preview"], name: str, text: str, stored: Dataset | None,
    files: list[tuple[str, str]], connect: str | None = None,
) -> Job:  # fmt: skip
    """`stored` is what the stored file says; None where it is wrong, and then it allows no hook."""
    limits = stored.model_dump(mode="json", include=set(LIMITS)) if stored else {}
    clean, source = (stored.clean, stored.source) if stored else (None, None)
    return Job(kind, name, text, clean, source, limits, files, connect)


def answer(job: Job) -> dict[str, Any]:
    """Run the job in a child process. Raises Failed. It blocks: call it in a thread."""
    scratch = scratch_of(os.environ)
    place = scratch.parent if scratch and scratch.parent.is_dir() else None
    # The folder is this process's, as a child that is killed leaves what it has unpacked.
    with tempfile.TemporaryDirectory(prefix="millrace-editor-", dir=place) as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "include.ingest.editor.child", folder],
                input=json.dumps(asdict(job)).encode(), capture_output=True, timeout=SECONDS[job.kind], check=False,
                cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_path()])},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failed(_too_long(job)) from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(f"the {job.kind} ended without an answer: {said[-1] if said else 'it was killed'}") from None
    return found


def _path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


def _too_long(job: Job) -> str:
    told = f"the {job.kind} took longer than {SECONDS[job.kind]} seconds and was stopped"
    if job.kind == "check":
        return f"{told}: most likely the text refers to itself, or a pattern takes for ever"
    return f"{told}: `./run dataset preview {job.name}` takes the time it needs"
