"""The DAGs: their documentation and their trigger forms, from the DAG files."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from include.ingest.dataset.definition import Dataset
from stack.reference.markdown import code, default, kind, page, table
from stack.settings import REPOSITORY

EXAMPLE = {
    "name": "orders",
    "source": "{{ inbox }}/orders/orders_{{ ds }}.csv",
    "target": "public.orders",
    "key": ["order_id"],
    "columns": {"order_id": {"type": "bigint"}},
}


def write() -> str:
    """The page."""
    ingest, file, replays, images, memory, keeping = (
        _module(name)
        for name in ("ingest_csv", "ingest_file", "replay_rejected", "resize_images", "audit_memory", "housekeeping")
    )
    plain, replacing = (
        ingest.ingest_csv(Dataset.model_validate({**EXAMPLE, "mode": m})) for m in ("upsert", "replace")
    )
    return page(
        "DAGs",
        "What each DAG does, and the parameters of its trigger form. `airflow dags trigger <dag> --conf '{…}'` takes"
        " them as JSON.",
        "## `ingest_<name>`",
        str(ingest.__doc__).strip(),
        "Of a dataset with the usual limits:",
        _form(replacing.params, {name: "Mode `replace`. " for name in replacing.params if name not in plain.params}),
        "## `ingest_file`",
        str(file.__doc__).strip(),
        _form(file.ingest_file().params, {}),
        "## `replay_rejected`",
        str(replays.__doc__).strip(),
        _form(replays.replay_rejected().params, {}),
        "## `resize_images`",
        str(images.__doc__).strip(),
        _form(images.resize_images().params, {}),
        "## `audit_memory`",
        str(memory.__doc__).strip(),
        _form(memory.audit_memory().params, {}),
        "## `housekeeping`",
        str(keeping.__doc__).strip(),
    )


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"documented_{name}", REPOSITORY / "dags" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _form(params: Any, notes: Mapping[str, str]) -> str:
    found = {name: params.get_param(name) for name in params}
    rows = [
        [code(name), kind(param.schema), _usual(param), notes.get(name, "") + _plain(param.description)]
        for name, param in found.items()
    ]
    return table(["parameter", "type", "default", "meaning"], rows)


def _usual(param: Any) -> str:
    required = not param.has_value and "null" not in param.schema.get("type", ())
    return "*required*" if required else default(param.value)


def _plain(text: str) -> str:
    """Braces of a template are shown as code: some Markdown renderers would take them for their own."""
    return text.replace(EXAMPLE["source"], f"`{EXAMPLE['source']}`")  # type: ignore[arg-type]
