"""The project's shape: which way imports go, and that its reference names every field."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

from include.ingest.dataset.columns import Column, CsvFormat
from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit, UnpackLimit
from include.notify import Notify

REPOSITORY = Path(__file__).parents[1]
INCLUDE = REPOSITORY / "include"
FOLDERS = ("include", "dags", "plugins", "stack", "campaign", "fuzz", "bench", "samples", "config")
MODULES = [file for folder in FOLDERS for file in sorted((REPOSITORY / folder).rglob("*.py"))]
MOST_MODULES = 16  # in a folder; more want rooms
DOMAINS = {path.name for path in INCLUDE.iterdir() if (path / "__init__.py").exists()} - {
    "bridge", "pages", "warehouse",
}  # fmt: skip


def imports(file: Path) -> set[str]:
    """The modules that a file names in its imports, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{name.name}" for name in node.names)}
    return found


@pytest.mark.parametrize("file", sorted(INCLUDE.rglob("*.py")), ids=lambda file: str(file.relative_to(INCLUDE)))
def test_arrows_go_one_way(file: Path) -> None:
    used = {name.split(".")[0] for name in imports(file)}
    assert not used & {"dags", "plugins", "stack", "tests", "bench", "samples", "campaign", "fuzz"}
    if not file.is_relative_to(INCLUDE / "bridge"):
        assert "airflow" not in used
        own = file.relative_to(INCLUDE).parts[0]
        others = {name.split(".")[1] for name in imports(file) if name.startswith("include.")} & DOMAINS
        assert others <= {own}, "domains do not import each other"


def named(file: Path) -> str:
    """The module's dotted name."""
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def used_by(file: Path, names: set[str]) -> set[str]:
    """The modules that a file takes something from: `from package import module` takes nothing of the package's own."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            dotted = {f"{node.module}.{name.name}" for name in node.names}
            found |= dotted if dotted <= names else dotted | {str(node.module)}
    return found & names - {named(file)}


def test_no_imports_go_round_in_a_circle() -> None:
    names = {named(file) for file in MODULES}
    uses = {named(file): used_by(file, names) for file in MODULES}
    while free := {name for name, used in uses.items() if not used & uses.keys()}:
        uses = {name: used for name, used in uses.items() if name not in free}
    assert not uses, f"these import each other: {sorted(uses)}"


def test_a_folder_is_seen_at_a_glance() -> None:
    files = [file for file in (*MODULES, *(REPOSITORY / "tests").rglob("*.py")) if not file.stem.startswith("__")]
    numbers = Counter(str(file.parent.relative_to(REPOSITORY)) for file in files)
    assert {folder: number for folder, number in numbers.items() if number > MOST_MODULES} == {}


@pytest.mark.parametrize("file", sorted((INCLUDE / "memory" / "watcher").glob("*.py")), ids=lambda file: file.name)
def test_the_watcher_needs_the_standard_library_only(file: Path) -> None:
    own = {"include.memory.watcher", "include.memory.errors"}
    others = {name for name in imports(file) if name.split(".")[0] not in sys.stdlib_module_names}
    assert all(any(name == one or name.startswith(f"{one}.") for one in own) for name in others), others


@pytest.mark.parametrize("file", sorted((REPOSITORY / "dags").glob("*.py")), ids=lambda file: file.name)
def test_a_dag_file_is_a_manual_and_wiring(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert len(ast.get_docstring(tree) or "") > 100
    assert not {name.split(".")[0] for name in imports(file)} & {"psycopg", "pyarrow", "pandas"}


@pytest.mark.parametrize("model", [Dataset, Column, CsvFormat, RejectLimit, DeleteLimit, UnpackLimit, Notify])
def test_the_reference_names_every_field(model: type[Dataset]) -> None:
    reference = (REPOSITORY / "docs" / "reference" / "datasets.md").read_text()
    for name, field in model.model_fields.items():
        assert f"| `{name}` |" in reference
        assert field.description
        assert field.description in reference
