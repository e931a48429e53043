"""Where dataset files lie, and which dataset a name means.

DAGs and commands ask here, so that both know the same datasets: every `*.yaml` directly in one of the user's folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from include.ingest.dataset.definition import Dataset, nearest
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError
from include.own_folders import RECIPES, VARIABLE, own_folders


def files_in(folders: Iterable[Path] | None = None) -> list[Path]:
    """The dataset files of these folders, or of the user's, by folder and name. Raises DatasetError for one not there.

    A folder that is not there is a fault: its datasets would vanish without a word.
    """
    found: list[Path] = []
    for folder in own_folders() if folders is None else folders:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder. Make it, or change ${VARIABLE}, which names it")
        found += sorted(file for file in folder.glob("*.yaml") if file.name != RECIPES)
    return found


def read_datasets(
    folders: Iterable[Path] | None = None, only: str | None = None
) -> tuple[list[Dataset], list[DatasetError]]:
    """The good datasets of all folders, and what is wrong with the others. Of two with one name the first counts.

    With `only`, no other file than the dataset's of that name is read.
    """
    good: dict[str, Dataset] = {}
    faults: list[DatasetError] = []
    places: dict[str, Path] = {}
    for folder in own_folders() if folders is None else folders:
        try:
            files = [file for file in files_in([folder]) if only in (None, file.stem)]
        except DatasetError as error:
            faults.append(error)
            continue
        for file in files:
            try:
                dataset = load_dataset(file)
            except DatasetError as error:
                faults.append(error)
                continue
            if dataset.name in places:
                faults.append(twice(file, places[dataset.name]))
                continue
            good[dataset.name], places[dataset.name] = dataset, file
    return list(good.values()), faults


def twice(file: Path, first: Path) -> DatasetError:
    """The fault of a dataset file whose name another one has."""
    return DatasetError(f"{file}:1: name: {file.stem} is the name of {first} too; give one of them another name")


def find(name: str) -> Path:
    """The file of the dataset with that name. Raises DatasetError with the nearest names where there is none."""
    files = files_in()
    found = next((file for file in files if file.stem == name), None)
    if found is None:
        folders = ", ".join(map(str, own_folders()))
        raise DatasetError(f"no dataset is called {name} in {folders}{nearest(name, [file.stem for file in files])}")
    return found


def named(text: str) -> Path:
    """The dataset file that a command line means: a path that ends in .yaml or .yml, or a dataset's name."""
    return Path(text) if text.endswith((".yaml", ".yml")) else find(text)
