"""Datasets, hooks and recipes of the user's own, in folders outside of the clone ($MILLRACE_DATASETS)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include import own_folders
from include.bridge import images
from include.images.recipes import RECIPES, load_recipes
from include.ingest.dataset import places
from include.ingest.dataset.interval import holding
from include.ingest.dataset.rendering import dates, rendered
from include.ingest.errors import DatasetError, SourceUnnamed
from tests.ingest.here import run
from tests.ingest.loading import ITEMS, make_dataset, rows

REPOSITORY = Path(__file__).parents[2]
HOOK = "from own_words import WORD\n\n\ndef clean(frame):\n    frame['label'] = WORD\n    return frame\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders of the user's, with a dataset in each."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, name in ((one, "items"), (two, "others")):
        folder.mkdir()
        (folder / f"{name}.yaml").write_text(ITEMS.replace("items", name))
    monkeypatch.setenv("MILLRACE_DATASETS", f"{one}{os.pathsep}{two}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return one, two


def test_which_folders(tmp_path: Path) -> None:
    assert own_folders.own_folders({}) == (REPOSITORY / "include" / "datasets",)
    assert own_folders.own_folders({"MILLRACE_DATASETS": ""}) == own_folders.own_folders({})
    named = {"MILLRACE_DATASETS": f"{tmp_path}::{tmp_path}/b:~/c:{tmp_path}"}
    assert own_folders.own_folders(named) == (tmp_path, tmp_path / "b", Path.home() / "c")
    assert own_folders.own_folders({"MILLRACE_DATASETS": "d"}) == (Path.cwd() / "d",)


def test_one_inbox_for_files_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_IMAGES_INBOX", raising=False)
    for told, folder in (("", "/var/lib/millrace/inbox"), ("/in", "/in")):
        monkeypatch.setenv("MILLRACE_INBOX", told)
        assert (own_folders.inbox(), images.inbox()) == (folder, Path(folder) / "images")


def test_datasets_of_all_folders(folders: tuple[Path, Path]) -> None:
    one, two = folders
    (one / "recipes.yaml").write_text("renditions: {}")
    good, faults = places.read_datasets()
    assert ([dataset.name for dataset in good], faults) == (["items", "others"], [])
    assert places.find("others") == two / "others.yaml"
    assert places.named("x/y.yaml") == Path("x/y.yaml")
    with pytest.raises(DatasetError, match=r"no dataset is called other in .*; did you mean others\?"):
        places.find("other")


def test_the_first_of_two_with_one_name_counts(folders: tuple[Path, Path]) -> None:
    one, two = folders
    (two / "items.yaml").write_text(ITEMS + "owner: second\n")
    good, faults = places.read_datasets()
    assert [(dataset.name, dataset.owner) for dataset in good] == [("items", "data"), ("others", "data")]
    assert [str(fault) for fault in faults] == [
        f"{two / 'items.yaml'}:1: name: items is the name of {one / 'items.yaml'} too; give one of them another name"
    ]


def test_a_folder_that_is_gone_is_a_fault_and_hides_no_other(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DATASETS", f"/no/such{os.pathsep}{folders[0]}")
    good, faults = places.read_datasets()
    assert [dataset.name for dataset in good] == ["items"]
    assert "/no/such: there is no such folder" in str(faults[0])


def test_a_hook_lies_beside_its_dataset(
    folders: tuple[Path, Path], warehouse: psycopg.Connection[Any], dsn: str, tmp_path: Path
) -> None:
    one, two = folders
    (one / "own_hook.py").write_text(HOOK)
    (two / "own_words.py").write_text("WORD = 'from two'\n")
    (one / "items.yaml").write_text(ITEMS + "clean: own_hook:clean\n")
    file = tmp_path / "items.csv"
    file.write_text("id,label,price\n1,x,1\n")
    done = run("run", "items", file, "--dsn", dsn)
    assert done.returncode == 0, done.stderr
    assert rows(warehouse) == [(1, "from two", 1)]


def test_a_module_of_the_users_does_not_hide_another_one(folders: tuple[Path, Path]) -> None:
    (folders[0] / "json.py").write_text("raise SystemExit('ours')\n")
    own_folders.make_importable()
    own_folders.make_importable()
    assert [sys.path.count(str(folder)) for folder in folders] == [1, 1]
    code = "from include.own_folders import make_importable; make_importable(); import json; json.dumps(1)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_recipes_of_the_users_own(folders: tuple[Path, Path]) -> None:
    assert load_recipes() == load_recipes(RECIPES)
    (folders[1] / "recipes.yaml").write_text("renditions: {tiny: {side: 16}}\n")
    assert set(load_recipes().renditions) == {"tiny"}
    (folders[0] / "recipes.yaml").write_text("renditions: {small: {side: 32}}\n")
    assert set(load_recipes().renditions) == {"small"}, "the first folder's"


PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(json.dumps({"dags": sorted(bag.dags), "errors": {k: v[-600:] for k, v in bag.import_errors.items()},
                  "hooks": sorted(name for name in sys.modules if name.startswith("own_"))}))
"""


def test_airflow_has_the_dags_of_all_folders_and_imports_no_hook(folders: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = folders
    (one / "own_hook.py").write_text("raise SystemExit('a DAG file must not import hooks')\n")
    (one / "items.yaml").write_text(ITEMS + "clean: own_hook:clean\n")
    (two / "wrong.yaml").write_text(ITEMS.replace("name: items", "name: wrong").replace("bigint", "bigin"))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY), "MILLRACE_MEMORY_AGENT": "off",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(REPOSITORY / "dags")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    ingests = {dag for dag in found["dags"] if dag.startswith("ingest_")}
    assert ingests == {"ingest_file", "ingest_items", "ingest_others"}
    assert found["hooks"] == []
    ((file, error),) = found["errors"].items()
    assert file.endswith("check_datasets.py")
    assert f"{two / 'wrong.yaml'}:7: columns.id.type: " in error


@pytest.mark.parametrize(
    "source",
    [
        "{{ inbox }}/{{ ds }}.csv", "{{ ds_nodash }}-{{ ts }}-{{ ts_nodash }}-{{ ts_nodash_with_tz }}",
        "{{ logical_date }} {{ data_interval_start | ds }} {{ data_interval_end | ds_nodash }}",
        "{{ data_interval_end | ts }} {{ logical_date | ts_nodash }} {{ data_interval_end | ts_nodash_with_tz }}",
        "{{ data_interval_start.subtract(days=1) | ds }} {{ data_interval_end.strftime('%d.%m.%Y') }}",
        "{{ logical_date.year }}/{{ '%02d' % logical_date.month }} {{ ds[:7] }} {{ logical_date.format('YYYY') }}",
        "{{ inbox }}/a&b <{{ ds }}>'.csv",
    ],
)  # fmt: skip
@pytest.mark.parametrize("schedule", ["@daily", "30 2 * * 1", None])
def test_a_source_is_rendered_as_airflow_renders_it(tmp_path: Path, source: str, schedule: str | None) -> None:
    from airflow.sdk import DAG, BaseOperator

    dataset = make_dataset(tmp_path).model_copy(update={"source": source, "schedule": schedule})
    interval = holding(schedule, datetime(2026, 3, 1, 13, 5, 7, tzinfo=UTC))
    with DAG("judge", schedule=None):
        task = BaseOperator(task_id="judge")
    context: Any = {**dates(interval), "inbox": "/in box"}
    assert rendered(dataset, interval, {"MILLRACE_INBOX": "/in box"}) == task.render_template(source, context)


@pytest.mark.parametrize("name", ["var.value.folder", "conn.x.host", "macros.ds_add(ds, 1)"])
def test_what_only_airflow_knows_is_named(tmp_path: Path, name: str) -> None:
    dataset = make_dataset(tmp_path).model_copy(update={"source": f"{{{{ {name} }}}}"})
    with pytest.raises(SourceUnnamed, match=f"names {name.partition('.')[0]}, which only Airflow knows: give the file"):
        rendered(dataset, holding("@daily", datetime.now(UTC)))
