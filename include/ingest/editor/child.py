"""The child process: reads a job from standard input, and writes its answer as JSON.

`python -m include.ingest.editor.child FOLDER`: FOLDER is empty, and is removed by whoever called.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.ingest.check.files import next_run
from include.ingest.dataset.definition import Dataset, UnpackLimit
from include.ingest.dataset.rendering import interval_for, of_airflow, rendered
from include.ingest.dataset_file import load_dataset, place_in
from include.ingest.editor.job import Job
from include.ingest.errors import DatasetError, IngestError, SourceMissing, SourceUnnamed

if TYPE_CHECKING:
    from include.ingest.preview.result import Preview

ROWS = 10_000  # records that are looked at
CPU_SECONDS = 120  # of all threads
MEMORY = 4 << 30  # bytes, beyond what libraries map
LONGEST_CELL = 500  # characters of a value that is shown


def main() -> None:
    """Do the job."""
    job = Job(**json.load(sys.stdin))
    _limit()
    try:
        found = _answer(job, Path(sys.argv[1]))
    except RecursionError:
        found = {"faults": [_fault("the text is nested too deeply, or refers to itself")]}
    except MemoryError:
        found = {"faults": [_fault("it took too much memory")]}
    json.dump(found, sys.stdout)


def _limit() -> None:
    """Stay within bounds."""
    for what, most in ((resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _answer(job: Job, folder: Path) -> dict[str, Any]:
    file = folder / f"{job.name}.yaml"
    file.write_text(job.text, encoding="utf-8", errors="surrogatepass")
    try:
        dataset = load_dataset(file, kept=False)
    except DatasetError as error:
        return {"faults": [_read(line, file) for line in str(error).splitlines()]}
    warnings = [] if dataset.clean == job.clean else [_other_hook(job, file)]
    if job.kind == "check":
        return {"faults": [], "warnings": warnings, "facts": _facts(job, dataset)}
    if warnings:
        return {"faults": warnings}
    try:
        return {"faults": [], "warnings": [], "preview": _shown(_preview(job, dataset, folder))}
    except (IngestError, OSError) as error:
        return {"faults": [_fault(str(error))]}


def _fault(text: str, line: int | None = None) -> dict[str, Any]:
    return {"line": line, "text": text}


def _read(said: str, file: Path) -> dict[str, Any]:
    """A line of a DatasetError without the folder, which tells nobody anything."""
    found = re.match(rf"{re.escape(str(file))}:(\d+): (.*)", said, re.DOTALL)
    return _fault(found[2], int(found[1])) if found else _fault(said.replace(str(file), file.name))


def _other_hook(job: Job, file: Path) -> dict[str, Any]:
    """Code is never loaded because a text from a browser names it."""
    told = f"the stored file names {job.clean or 'none'}, and no other hook is run from here"
    place = _read(f"{place_in(file, ('clean',))}: {told}; preview it with ./run dataset preview {job.name}", file)
    return place


def _facts(job: Job, dataset: Dataset) -> dict[str, str]:
    facts = {"schedule": next_run(dataset, datetime.now(UTC))}
    if dataset.source != job.source:
        facts["source"] = "changed: it is not filled in here. ./run dataset check shows its file of a date"
    elif not of_airflow(dataset):
        try:
            facts["source"] = rendered(dataset, interval_for(dataset, None))
        except SourceUnnamed as error:
            facts["source"] = str(error)
    return facts


def _preview(job: Job, dataset: Dataset, folder: Path) -> Preview:
    """By the edited text, of the first file of the ledger's that is there; `source` is not looked at."""
    from include.ingest.plan import Order  # here, as a check needs no engine, and answers twice as soon
    from include.ingest.preview.look import preview
    from include.ingest.source.storage import Storage, connect, place_of
    from include.roots import roots

    limits = {name: _stored(job, name) for name in ("chunk_bytes", "block_bytes", "max_record_bytes", "unpack_limit")}
    dataset = dataset.model_copy(update=limits)
    # Whoever delivers files, or writes the ledger, chooses what stands under these names.
    storage = Storage(folder / "unpacked", _named(job.connect) if job.connect else connect, roots())
    missing: SourceMissing | None = None
    for path, version in job.files:
        order = Order(uuid4(), place_of(path), datetime.fromisoformat(version), force=True, storage=storage)
        try:
            return preview(None, dataset, order, sample=ROWS)
        except SourceMissing as error:
            missing = error
    raise missing or SourceMissing(
        "no run of the dataset has read a file that its stored `source` names, so there is none to try this on"
    )


def _stored(job: Job, name: str) -> Any:
    value = job.limits.get(name)
    if name == "unpack_limit":
        return UnpackLimit.model_validate(value or {})
    return value or Dataset.model_fields[name].default


def _named(text: str) -> Any:
    """What the server, and nobody else, names as module:function."""
    module, _, function = text.partition(":")
    return getattr(importlib.import_module(module), function)


def _shown(found: Preview) -> dict[str, Any]:
    rows = [[None if cell is None else cell[:LONGEST_CELL] for cell in row] for row in found.first_rows]
    return {**replace(found, first_rows=rows).as_dict(), "first_rows": rows}


if __name__ == "__main__":
    main()
