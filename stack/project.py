"""A copy of the project that can run: for whoever changes datasets, or DAGs, of a stack of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.settings import REPOSITORY

FOLDERS = ("config", "dags", "include", "plugins", "samples", "stack")
# What is compiled already goes along, or each copy would spend some 40 s of a processor on it; what is being written
# just now does not.
UNFINISHED = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")
FILES = ("Dockerfile", "docker-compose.yaml", "requirements.lock")


def copy_project(target: Path) -> None:
    """Copy what a stack or a cluster runs from into a folder, which is made if it is not there."""
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, target / name, ignore=UNFINISHED)
    for name in FILES:
        shutil.copy(REPOSITORY / name, target)
