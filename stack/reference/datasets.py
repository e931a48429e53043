"""The fields of a dataset file, from the models that check it."""

from __future__ import annotations

from pydantic import BaseModel

from include.ingest.dataset.columns import Column, CsvFormat
from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit, UnpackLimit
from include.notify import Notify
from stack.reference.markdown import code, fields, page

PARTS: dict[type[BaseModel], str] = {
    Dataset: "The dataset",
    Column: "Column",
    CsvFormat: "CsvFormat",
    RejectLimit: "RejectLimit",
    DeleteLimit: "DeleteLimit",
    UnpackLimit: "UnpackLimit",
    Notify: "Notify",
}
WHERE = {Column: "columns.<name>", CsvFormat: "csv", RejectLimit: "reject_limit", DeleteLimit: "delete_limit",
         UnpackLimit: "unpack_limit", Notify: "notify"}  # fmt: skip


def write() -> str:
    """The page."""
    return page(
        "Dataset files",
        "The fields of `include/datasets/<name>.yaml`. How to use them: [add a dataset](../how-to/add-a-dataset.md).",
        *(part for model, title in PARTS.items() for part in _part(model, title)),
    )


def _part(model: type[BaseModel], title: str) -> list[str]:
    intro = (model.__doc__ or "").strip().splitlines()[0]
    if model in WHERE:
        intro = f"Field {code(WHERE[model])}. {intro}"
    return [f"## {title}", intro, fields(model.model_json_schema())]
