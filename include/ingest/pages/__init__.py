"""The page Ingest, behind the login."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from include import pages

FILES = (
    "ingest.html", "ingest.css", "ingest.js", "overview.js", "run.js", "chunks.js", "account.js", "rejected.js",
    "edit.js", "replays.js", "dataset.js", "profile.js", "editor.js", "completion.js", "preview.js", "airflow.js",
    "words.js", "ingest.svg", "ingest-dark.svg",
)  # fmt: skip


def router(enter: Callable[..., Any]) -> APIRouter:
    """The page's files, at /ingest/ingest.html and beside it."""
    return pages.router(Path(__file__).parent, FILES, enter, prefix="/ingest")
