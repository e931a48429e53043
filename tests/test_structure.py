"""The project's shape: which way imports go, and that its reference names every field."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from include.ingest.columns import Column, CsvFormat
from include.ingest.dataset import Dataset, DeleteLimit, RejectLimit, UnpackLimit

REPOSITORY = Path(__file__).parents[1]
INCLUDE = REPOSITORY / "include"
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
    assert not used & {"dags", "plugins", "stack", "tests", "bench", "samples"}
    if file.parent != INCLUDE / "bridge":
        assert "airflow" not in used
        own = file.relative_to(INCLUDE).parts[0]
        others = {name.split(".")[1] for name in imports(file) if name.startswith("include.")} & DOMAINS
        assert others <= {own}, "domains do not import each other"


@pytest.mark.parametrize("file", sorted((REPOSITORY / "dags").glob("*.py")), ids=lambda file: file.name)
def test_a_dag_file_is_a_manual_and_wiring(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert len(ast.get_docstring(tree) or "") > 100
    assert not {name.split(".")[0] for name in imports(file)} & {"psycopg", "pyarrow", "pandas"}


@pytest.mark.parametrize("model", [Dataset, Column, CsvFormat, RejectLimit, DeleteLimit, UnpackLimit])
def test_the_reference_names_every_field(model: type[Dataset]) -> None:
    reference = (REPOSITORY / "docs" / "datasets.md").read_text()
    for name, field in model.model_fields.items():
        assert f"| `{name}` |" in reference
        assert field.description in reference
