"""Every block of code in README.md and docs/: SQL, datasets, Python, and commands that do not run on a stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
import pytest

from include.images.callbacks import Callbacks
from include.images.recipes import load_recipes
from include.ingest.dataset_file import load_dataset
from samples import orders
from tests.docs import fences, rules
from tests.docs.fences import Fence, commands, written_in
from tests.images import pictures
from tests.ingest.loading import ingest
from tests.memory import story

LANGUAGES = {"sh", "sql", "yaml", "python", "text"}
NO_ROWS = ("millrace_staging", "DELETE ")  # nothing is in progress, and what is deleted is nothing


def ids(fence: Fence) -> str:
    """Its place, as a test's name."""
    return fence.place


def test_every_fence_says_what_it_is() -> None:
    everything = [fence for page in fences.PAGES for fence in fences.of(page)]
    assert len(everything) > 50
    assert [fence.place for fence in everything if fence.language not in LANGUAGES] == []
    ticks = sum(page.read_text().count("```") for page in fences.PAGES)
    assert ticks == 2 * len(everything), "a fence that is not seen"


@pytest.fixture(scope="module")
def lived(postgres: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    """A warehouse with a run of orders, pictures, and the memory of tasks."""
    folder = tmp_path_factory.mktemp("lived")
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        superuser.execute(f"CREATE DATABASE documented TEMPLATE {template} OWNER ingest")
    with psycopg.connect(postgres.dsn("documented"), autocommit=True) as connection:
        file = folder / "orders.csv"
        with file.open("wb") as out:
            orders.write(out, orders.Shape(2_000, bad=0.004))
        dataset = load_dataset(fences.REPOSITORY / "include" / "datasets" / "orders.yaml")
        ingest(connection, dataset.model_copy(update={"chunk_bytes": 50_000}), file, folder)
        connection.execute("INSERT INTO millrace.image_source (digest, bytes) VALUES (repeat('0', 64), 1)")
        enter_pictures(connection)
        story.tell(connection)
        yield connection
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        superuser.execute("DROP DATABASE documented WITH (FORCE)")


def enter_pictures(connection: psycopg.Connection[Any]) -> None:
    """Two that are alike, with all that can be asked for, and one that was never looked at."""
    connection.execute(
        "INSERT INTO millrace.image_source (digest, bytes, state, format)"
        " SELECT repeat(n, 64), 1, 'done', 'JPEG' FROM unnest('{1,2,3}'::text[]) AS n"
    )
    connection.execute(
        "INSERT INTO millrace.image (image_id, digest, owner, file_name, tags, metadata)"
        " SELECT gen_random_uuid(), digest, 'ann', 'ship.jpg', '{harbour,evening}', '{\"shoot\": \"42\"}'"
        " FROM millrace.image_source WHERE state = 'done'"
    )
    connection.execute(
        "INSERT INTO millrace.image_facts"
        " SELECT repeat(n, 64), '2026-03-01 12:30', '2 hours', 'Fuji', 'X-T5', '35mm', 53.55, 9.99, 'Display P3',"
        " false, '{#2090f0,#ffffff}', 42, '1' FROM unnest('{1,2}'::text[]) AS n"
    )


@pytest.mark.parametrize("fence", written_in("sql"), ids=ids)
def test_sql_answers(lived: psycopg.Connection[Any], fence: Fence) -> None:
    cursor = lived.execute(fence.text)
    if not any(words in fence.text for words in NO_ROWS):
        assert cursor.fetchall()


RECIPES = [fence for fence in written_in("yaml") if fence.text.startswith("renditions:")]


@pytest.mark.parametrize("fence", RECIPES, ids=ids)
def test_a_recipe_file_is_one(fence: Fence, tmp_path: Path) -> None:
    (tmp_path / "brand").mkdir()
    (tmp_path / "brand" / "logo.png").write_bytes(pictures.encoded(pictures.quarters(), "PNG"))
    file = tmp_path / "recipes.yaml"
    file.write_text(fence.text)
    assert load_recipes(file).renditions


@pytest.mark.parametrize("fence", [fence for fence in written_in("yaml") if fence not in RECIPES], ids=ids)
def test_a_dataset_is_one(fence: Fence, tmp_path: Path) -> None:
    name = next(line.partition(": ")[2] for line in fence.text.splitlines() if line.startswith("name: "))
    file = tmp_path / f"{name}.yaml"
    file.write_text(fence.text)
    assert load_dataset(file).name == name


@pytest.mark.parametrize("fence", written_in("python"), ids=ids)
def test_python_runs(fence: Fence, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(fences.REPOSITORY), "AIRFLOW_HOME": str(tmp_path), "MILLRACE_MEMORY_AGENT": "off"}
    done = subprocess.run(
        [sys.executable, "-c", fence.text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def function_of(page: str, name: str) -> Any:
    """A function that a page shows."""
    space: dict[str, Any] = {}
    (text,) = (one.text for one in written_in("python") if one.page.endswith(page) and f"def {name}(" in one.text)
    exec(text, space)
    return space[name]


def test_the_hook_cleans() -> None:
    frame = pd.DataFrame({"sku": ["a-1", "b-2"], "quantity": [5, 1000]})
    assert function_of("add-a-dataset.md", "clean")(frame).to_dict("list") == {"sku": ["A-1"], "quantity": [5]}


def test_a_file_with_all_that_stands_around_records(lived: psycopg.Connection[Any], tmp_path: Path) -> None:
    (text,) = (fence.text for fence in written_in("text") if "Total,25.50," in fence.text)
    (dataset,) = (fence.text for fence in written_in("yaml") if "name: sales" in fence.text)
    (tmp_path / "sales.yaml").write_text(dataset)
    account = ingest(lived, load_dataset(tmp_path / "sales.yaml"), text, tmp_path)
    assert (account.read, account.inserted) == (2, 2)
    found = lived.execute("SELECT number, amount::text, note FROM sales ORDER BY 1").fetchall()
    assert found == [(1, "17.50", None), (2, "8.00", "late")]


def test_the_check_of_a_signature_takes_ours_only() -> None:
    is_genuine, body = function_of("get-a-callback.md", "is_genuine"), b'{"id": "%s"}' % UUID(int=1).hex.encode()
    header = Callbacks("secret").signature(body, 1_800_000_000)
    assert is_genuine(header, body, b"secret")
    assert not is_genuine(header, body + b" ", b"secret")
    assert not is_genuine(header, body, b"other")


FAULTS = (AssertionError, SystemExit, ValueError, KeyError, subprocess.CalledProcessError, pytest.fail.Exception)
CHECKED = [
    pytest.param(command, id=f"{fence.place} {command[:60]}")
    for fence in written_in("sh")
    for command in commands(fence.text)
    if not rules.runs(command)
]


@pytest.mark.parametrize("command", CHECKED)
def test_a_command_that_does_not_run_here_is_one(command: str) -> None:
    rules.rule_of(command).check(command)


def test_each_rule_is_used_and_says_why() -> None:
    used = {rules.rule_of(str(parameter.values[0])).pattern for parameter in CHECKED}
    assert {rule.pattern for rule in rules.RULES} == used
    assert all(rule.reason for rule in rules.RULES)


@pytest.mark.parametrize(
    "command",
    [
        "sudo ./run cluster --workers many", "./run bench ingest --size 5", "./run bench ingests",
        "./run fuzz --only words", "sudo ./run campaign --speed 1", "docker compose up -d --scale workers=4",
        "docker compose --profile monitor up -d", "docker compose run init", "export MILLRACE_INBX=/tmp",
        "STORAGE='{\"conn_type\": aws}'", "helm upgrade --install x y --version 1.0.0 -f deploy/helm/values.yaml",
        "kubectl -n millrace create secret generic millrace --from-literal=address=x", "rm -rf .millrace",
        ".venv/bin/python -m fuzz.mutants --just x", "python -m include.slot | airflow pools import /dev/stdin",
    ],
)  # fmt: skip
def test_a_command_that_would_fail_is_noticed(command: str) -> None:
    with pytest.raises(FAULTS):
        rules.rule_of(command).check(command)


def test_a_command_is_found_whole() -> None:
    script = "# a comment\na 1 \\\n  2\nb '\nquoted'\ncat > x <<'EOT'\nc d\nEOT\ne # why\n"
    assert commands(script) == ["a 1 \\\n  2", "b '\nquoted'", "cat > x <<'EOT'\nc d\nEOT", "e # why"]
