"""What was found and made of a file, in words: for the last lines of a log, the note of a run, and an XCom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.ingest.ledger import Account
from include.ingest.new_dataset.draft import Asked, Draft
from include.ingest.preview.result import Preview, RuleRejects

FEW = 3  # ambiguities that the note names
WHERE = "The dataset file and the first rows are in the log of task `describe`."


def values(draft: Draft, preview: Preview, file: Path | None) -> dict[str, Any]:
    """The few figures that other tasks and DAGs may ask for."""
    return {
        "dataset": draft.dataset.name,
        "target": preview.target,
        "rows": draft.rows,
        "columns": len(draft.dataset.columns),
        "key": list(draft.dataset.key),
        "ambiguous": len(draft.doubts),
        "rejected": {rule.rule: rule.rows for rule in preview.rejects},
        "dataset_file": str(file) if file else None,
    }


def findings(asked: Asked, draft: Draft, preview: Preview) -> Iterator[str]:
    """What was found, a line each."""
    key = ", ".join(draft.dataset.key)
    yield (
        f"{Path(asked.file).name}: {draft.rows:,} rows, {len(draft.dataset.columns):,} columns,"
        f" {f'key {key}' if key else 'no key'}; dataset {draft.dataset.name} into {preview.target}"
    )
    yield from (f"ambiguous: {doubt}" for doubt in draft.doubts)
    if not key:
        yield from (f"key: {remark}" for remark in draft.remarks)
    yield from (_rejected(rule) for rule in preview.rejects)
    if preview.outcome == "failed":
        yield from (f"a run would fail: {reason}" for reason in preview.reasons)


def _rejected(rule: RuleRejects) -> str:
    first = rule.first[0]
    value = "" if first.value is None else f" {first.value!r}"
    rows = f"{rule.rows:,} row{'' if rule.rows == 1 else 's'}"
    return f"rejected by rule {rule.rule}: {rows}, first line {first.line:,}: {first.column or 'the record'}{value}"


def next_steps(draft: Draft, file: Path | None, other: Path | None) -> Iterator[str]:
    """What was made, and what to do now."""
    name = draft.dataset.name
    if file is None:
        yield "Nothing was written."
        yield "To make the dataset, trigger the DAG again with `action` create or ingest."
        if other is not None:
            yield f"There is a dataset {name} already, which will not be overwritten ({other}): give another `name`."
        return
    yield f"Dataset file: {file}"
    yield (
        f"DAG ingest_{name} comes within a minute or so, paused. Unpause it by the switch on its page, or by"
        f" `airflow dags unpause ingest_{name}`. Its `source` is {draft.dataset.source}"
        + (f", its schedule {draft.dataset.schedule}." if draft.dataset.schedule else ".")
    )


def loaded(account: Account) -> str:
    """What the load came to."""
    if account.status == "skipped":
        return f"The file was loaded before, and {account.target} holds it: nothing was loaded again."
    figures = ("read", "inserted", "updated", "unchanged", "superseded", "rejected")
    counts = ", ".join(f"{name} {getattr(account, name):,}" for name in figures)
    return f"Loaded into {account.target}, version {account.version}: {counts}."


def note(asked: Asked, draft: Draft, preview: Preview, file: Path | None, other: Path | None) -> str:
    """The same for the note of the run, in Markdown, without the long lists."""
    found, *more = findings(asked, draft, preview)
    shown = [f"- {line}" for line in more[:FEW]]
    if len(more) > FEW:
        shown.append(f"- and {len(more) - FEW:,} more")
    steps = list(next_steps(draft, file, other))
    return "\n".join([found, *shown, "", *steps, "", WHERE])
