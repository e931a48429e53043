"""The user's own folders: the inbox, and those of datasets.

$MILLRACE_DATASETS names one or several, separated as PATH is, outside of the clone.

Each may hold dataset files, a `recipes.yaml` for pictures, and Python modules of `clean` hooks. Where the variable is
not set, `include/datasets` is the only folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "MILLRACE_DATASETS"
BUILT_IN = Path(__file__).resolve().parent / "datasets"
INBOX = "/var/lib/millrace/inbox"
RECIPES = "recipes.yaml"  # of pictures: no dataset


def own_folders(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The folders in the order in which they are named, absolute and each once, whether or not they exist."""
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    folders = [Path(part).expanduser().absolute() for part in named.split(os.pathsep) if part.strip()]
    return tuple(dict.fromkeys(folders)) or (BUILT_IN,)


def inbox(environment: Mapping[str, str] | None = None) -> str:
    """The folder into which files are delivered: $MILLRACE_INBOX."""
    return (os.environ if environment is None else environment).get("MILLRACE_INBOX") or INBOX


def make_importable() -> None:
    """Let modules in the user's folders be imported by their plain names. Safe to repeat.

    The folders go to the end of the path: a module there can't take the place of an installed one or of Python's own.
    Where code is fixed, as in an image, a folder that can be written is left out: what a worker writes there, the
    server of the pages would import.
    """
    for folder in own_folders():
        if folder != BUILT_IN and str(folder) not in sys.path and not is_open(folder):
            sys.path.append(str(folder))


def is_open(folder: Path) -> bool:
    """Whether a folder could hold code that somebody has planted: code is fixed here, and this folder is not."""
    return bool(os.environ.get("MILLRACE_FIXED_CODE")) and os.access(folder, os.W_OK)


def own_recipes() -> Path | None:
    """The first `recipes.yaml` in the user's folders; None where there is none."""
    files = (folder / RECIPES for folder in own_folders())
    return next((file for file in files if file.is_file()), None)
