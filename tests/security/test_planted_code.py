"""What a worker can write, and a process with more rights reads: nothing of it runs there.

Each test plants something that would leave a file if it ran, and shows that it does run where the guard is not.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.xcom import XComModel
from airflow.utils.log.file_task_handler import FileTaskHandler
from celery import Celery
from celery.exceptions import SecurityError
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.serialization import dumps, enable_insecure_serializers, loads

from config.celery_settings import CELERY
from include.bridge.notes import _text
from include.bridge.triggers import allowed
from include.images.store import FolderStore, Name, NotStored, StoreAway
from include.ingest.dataset.interval import last_complete
from include.ingest.dataset.rendering import rendered
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError, SourceUnnamed
from include.ingest.replay import checker
from stack.cluster.compose import read_services
from stack.settings import REPOSITORY
from tests.ingest.loading import DAY, ITEMS, make_dataset

DIGEST, RECIPE = "ab" + 62 * "0", "recipe"


class Planted:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Is there once planted code has run."""
    return tmp_path / "it-ran"


def test_a_pickled_message_of_redis_is_refused(mark: Path) -> None:
    app = Celery(set_as_current=False)
    app.config_from_object({**CELERY, "broker_url": "memory://", "result_backend": "cache+memory://"})
    content_type, encoding, body = dumps(Planted(mark), "pickle")
    for accepted in (app.conf.accept_content, app.conf.result_accept_content, app.backend.accept):
        with pytest.raises(ContentDisallowed):
            loads(body, content_type, encoding, accept={f"application/{name}" for name in accepted} | set(accepted))
    assert app.backend.serializer == app.conf.task_serializer == app.conf.event_serializer == "json"
    assert not mark.exists()
    enable_insecure_serializers(["pickle"])
    loads(body, content_type, encoding, accept={"application/x-python-serialize"})
    assert mark.exists(), "it would have run"


def test_a_planted_result_of_redis_is_data(mark: Path) -> None:
    """The scheduler reads results."""
    app = Celery(set_as_current=False)
    app.config_from_object({**CELERY, "broker_url": "memory://", "result_backend": "cache+memory://"})
    with pytest.raises(DecodeError):
        app.backend.decode_result(pickle.dumps(Planted(mark)))
    gadget = {"exc_module": "os", "exc_type": "mkdir", "exc_message": [str(mark)]}
    with pytest.raises(SecurityError):
        app.backend.meta_from_decoded({"status": "FAILURE", "result": gadget, "task_id": "x"})
    assert not mark.exists()


def test_other_settings_of_celery_can_not_let_pickle_in() -> None:
    program = "from config.celery_settings import CELERY; print(CELERY['accept_content'], CELERY['task_serializer'])"
    more = {"accept_content": ["pickle"], "task_serializer": "pickle"}
    environment = {**os.environ, "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps(more)}
    assert ran(program, environment).stdout.splitlines()[-1] == "['json'] json"


def ran(program: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program, by itself."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


TRIGGERER = """
import json, sys
wanted, name = json.loads(sys.argv[1]), sys.argv[2]
sys.argv = ["airflow", name]
import airflow.settings
airflow.settings.initialize()
from airflow.jobs.triggerer_job_runner import TriggerRunner
said = []
for classpath, arguments in wanted:
    try:
        TriggerRunner.get_trigger_by_classpath(type("Runner", (), {"trigger_cache": {}})(), classpath)(**arguments)
        said.append("made")
    except (ValueError, TypeError) as fault:
        said.append(str(fault))
print(json.dumps(said))
"""
PLANTED_TRIGGERS: list[tuple[str, dict[str, Any]]] = [
    ("os.mkdir", {"path": "{mark}"}), ("subprocess.Popen", {"args": ["mkdir", "{mark}"]}), ("pathlib.Path", {}),
    ("planted.Trigger", {}), ("include.memory.watcher.watch.ensure", {}),
    ("airflow.triggers.callback.CallbackTrigger", {"callback_path": "os.mkdir", "callback_kwargs": {}}),
    ("airflow.providers.standard.triggers.file.FileDeleteTrigger", {"filepath": "{mark}"}),
    ("airflow.providers.standard.triggers.temporal.asyncio", {}),
]  # fmt: skip


def made(wanted: list[tuple[str, dict[str, Any]]], name: str, folder: Path, **more: str) -> list[str]:
    """What that component of Airflow, with the project's settings, says of triggers."""
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "config"), str(folder)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MILLRACE"))}
    environment = {**kept, "PYTHONPATH": path, "AIRFLOW_HOME": str(folder), "MILLRACE_MEMORY_AGENT": "off", **more}
    return list(json.loads(ran(TRIGGERER, environment, json.dumps(wanted), name).stdout.splitlines()[-1]))


def test_a_task_can_not_name_what_the_triggerer_calls(mark: Path, tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nTrigger = object\n")
    wanted = json.loads(json.dumps(PLANTED_TRIGGERS).replace("{mark}", str(mark)))
    known = [
        ("include.bridge.images.ImagesWaiting", {}),
        ("airflow.providers.standard.triggers.file.FileTrigger", {"filepath": "/x"}),
        ("airflow.triggers.callback.CallbackTrigger", {"callback_path": "include.bridge.freshness.say_late"}),
    ]
    said = made([*wanted, *known], "triggerer", tmp_path)
    refused = [bool(re.search("is no (trigger|callback)", one)) for one in said]
    assert refused == [True] * len(wanted) + [False] * len(known), said
    assert said[-len(known) :] == ["made"] * len(known)
    assert not mark.exists()
    assert made(wanted[:1], "another", tmp_path) == ["made"]
    assert mark.exists(), "it would have run"


def test_further_triggers_are_listed() -> None:
    listed = {"MILLRACE_TRIGGERS": "own.Trigger, their.module."}
    assert allowed("own.Trigger", listed)
    assert allowed("their.module.Trigger", listed)
    for name in ("own.Trigger.x", "own", "their.modules.Trigger", "subprocess.Popen", "", "*"):
        assert not allowed(name, listed)
        assert allowed(name, {"MILLRACE_TRIGGERS": "*"})


def test_an_object_in_an_xcom_is_not_made_in_the_scheduler() -> None:
    planted = {"__classname__": "airflow.sdk.definitions.asset.Asset", "__version__": 1, "__data__": {"name": "x"}}
    for value in (json.dumps(planted), planted, json.dumps([planted]), "[" * 100_000, None, 7):
        text = _text(SimpleNamespace(value=value))
        assert text == ("[" * 100_000 if value == "[" * 100_000 else "")
    assert _text(SimpleNamespace(value='"the reason"')) == _text(SimpleNamespace(value="the reason")) == "the reason"
    kept = json.dumps({"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1]})
    assert XComModel.deserialize_value(SimpleNamespace(value=kept)) == (1,), "Airflow's decoder makes objects"


def test_a_link_in_the_store_of_pictures_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "beyond").mkdir()
    (tmp_path / "beyond" / "secret.jpg").write_bytes(b"secret")
    store = FolderStore(tmp_path / "images")
    place = tmp_path / "images" / Name(DIGEST, RECIPE, "secret.jpg").key
    place.parent.mkdir(parents=True)
    for target in (tmp_path / "beyond" / "secret.jpg", Path("/proc/self/environ")):
        place.symlink_to(target)
        with pytest.raises(NotStored):
            store.read_rendition(DIGEST, RECIPE, "secret.jpg", 0, 100)
        place.unlink()
    os.mkfifo(place)
    with pytest.raises((NotStored, OSError)):
        store.read_rendition(DIGEST, RECIPE, "secret.jpg", 0, 100)
    place.unlink()
    place.parent.rmdir()
    place.parent.symlink_to(tmp_path / "beyond")
    with pytest.raises(NotStored, match="a link is in its place"):
        store.read_rendition(DIGEST, RECIPE, "secret.jpg", 0, 100)
    assert place.read_bytes() == b"secret", "it would have been served"
    (tmp_path / "images" / "incoming").symlink_to(tmp_path / "beyond")
    with pytest.raises(StoreAway, match="is a link"):
        store.scratch()


def test_a_link_among_the_logs_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's own guard: a worker writes the logs that the server of the pages reads."""

    def closed(opened: Any) -> str:
        with opened:
            return str(opened.read())

    # Airflow leaves the file open.
    monkeypatch.setattr("airflow.utils.log.file_task_handler._stream_lines_by_chunk", closed)
    (tmp_path / "secret").write_text("secret")
    handler = FileTaskHandler(str(tmp_path / "logs"))
    (tmp_path / "logs").mkdir(exist_ok=True)
    for name, target in (("1.log", tmp_path / "secret"), ("2.log", Path("/proc/self/environ"))):
        (tmp_path / "logs" / name).symlink_to(target)
        assert handler._read_from_local(tmp_path / "logs" / name) == ([], [])
    (tmp_path / "logs" / "3.log").write_text("a log")
    assert list(map(str, handler._read_from_local(tmp_path / "logs" / "3.log")[1])) == ["a log"]


YAML = ["!!python/object/apply:os.mkdir ['{mark}']", "!!python/name:os.mkdir", "!!python/module:planted"]


@pytest.mark.parametrize("value", YAML)
def test_a_dataset_file_makes_no_objects(value: str, mark: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.yaml"
    file.write_text(ITEMS + f"description: {value.format(mark=mark)}\n")
    with pytest.raises(DatasetError):
        load_dataset(file)
    assert not mark.exists()


TEMPLATES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ inbox.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.mkdir('{mark}') }}", "{{ lipsum.__globals__['os'].mkdir('{mark}') }}",
]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_of_a_dataset_file_calls_nothing_outside_of_its_task(
    template: str, mark: Path, tmp_path: Path
) -> None:
    text = ITEMS.replace('"{{ inbox }}/items_{{ ds }}.csv"', json.dumps(template.replace("{mark}", str(mark))))
    try:
        dataset = make_dataset(tmp_path, text)
        with pytest.raises(SourceUnnamed):
            rendered(dataset, last_complete(dataset.schedule, DAY))
    except DatasetError:
        pass  # refused as a file
    assert not mark.exists()


HOOK = """
import sys
from include.ingest.cast.clean_hook import load_hook
from include.ingest.errors import HookError
try:
    load_hook("planted_hook:clean")
except HookError as fault:
    print(fault)
"""


def test_a_hook_in_a_folder_that_containers_write_is_not_imported(mark: Path, tmp_path: Path) -> None:
    (tmp_path / "planted_hook.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclean = print\n")
    environment = {**os.environ, "MILLRACE_DATASETS": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    said = ran(HOOK, {**environment, "MILLRACE_FIXED_CODE": "yes"}).stdout
    assert f"{tmp_path} is left out, as whoever writes there would run code here: mount it read-only" in said
    assert not mark.exists()
    environment.pop("MILLRACE_FIXED_CODE", None)
    ran(HOOK, environment)
    assert mark.exists(), "it would have run"


NOTIFIER = """
import sys
from pathlib import Path
from include.bridge.notify.destinations import Notice, send
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError
try:
    dataset = load_dataset(Path(sys.argv[1]))
    send(dataset.notify.to[0], Notice("failure", "d", "r", "t", "l"), None)
except (DatasetError, ValueError) as fault:
    print(fault)
"""


@pytest.mark.parametrize("named", ["os.mkdir", "airflow.providers.smtp.notifications.smtp.SmtpNotifier"])
def test_a_notifier_in_a_folder_that_containers_write_is_refused(named: str, mark: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.yaml"
    file.write_text(f"{ITEMS}notify:\n  to:\n    - {{class: {named}, path: {mark}}}\n")
    environment = {**os.environ, "MILLRACE_DATASETS": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    said = ran(NOTIFIER, {**environment, "MILLRACE_FIXED_CODE": "yes"}, str(file)).stdout
    assert "notify.to.0: a notifier is code" in said
    assert f"{tmp_path} can be written to: mount it read-only, or name a Connection" in said
    assert not mark.exists()


def test_what_is_no_notifier_is_not_called(mark: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.yaml"
    file.write_text(f"{ITEMS}notify:\n  to:\n    - {{class: os.mkdir, path: {mark}}}\n")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MILLRACE_FIXED_CODE", None)
    assert "os.mkdir is no notifier of Airflow" in ran(NOTIFIER, environment, str(file)).stdout
    assert not mark.exists()


def test_the_process_that_tries_corrections_has_the_bounds_of_its_server(
    mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook is not imported out of an open folder there either, and what was compiled for the image is found."""
    (tmp_path / "planted_hook.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclean = print\n")
    for name, value in {
        "MILLRACE_DATASETS": str(tmp_path), "MILLRACE_FIXED_CODE": "yes", "MILLRACE_ROOTS": "s3://files@",
        "MILLRACE_INBOX": str(tmp_path), "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "JWT_SECRET": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    own = {name: value for name, value in os.environ.items() if name in checker.KEPT}
    said = ran(HOOK + PROCESS, {**own, "PYTHONPATH": str(REPOSITORY)}).stdout
    assert "is left out, as whoever writes there would run code here" in said
    assert not mark.exists()
    assert (
        said.splitlines()[-1] == f"generic Roots(folders=({tmp_path!r},), urls=('s3://files@',), anything=False) False"
    )


PROCESS = """
import os
from numba.core.registry import cpu_target
from include.roots import roots
print(cpu_target.target_context.codegen().magic_tuple()[1], roots(), "JWT_SECRET" in os.environ)
"""


CODE = ("PYTHONPATH", "AIRFLOW_HOME", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER",
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY", "MILLRACE_SCRATCH", "MILLRACE_MEMORY_FOLDER",
        "TMPDIR")  # fmt: skip


def test_no_container_runs_code_out_of_what_others_write() -> None:
    secrets = {"PAGES_PASSWORD": "x"}
    names = ["METADATA_SUPERUSER", "WAREHOUSE_SUPERUSER", "AIRFLOW_DB", "WAREHOUSE", "REDIS", "ADMIN"]
    secrets |= {f"{name}_PASSWORD": "x" for name in names}
    secrets |= dict.fromkeys(("METRICS_TOKEN", "API_SECRET_KEY", "JWT_SECRET", "FERNET_KEY"), "x")
    services = [one for one in read_services(REPOSITORY / "docker-compose.yaml", secrets) if "AIRFLOW" in str(one)]
    assert len(services) >= 6
    for service in services:
        for name in CODE:
            for place in service.environment.get(name, "").split(os.pathsep):
                assert not place.startswith("/data"), f"{service.name}: {name} is {place}, which workers write"
