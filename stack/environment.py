"""The environment of every process of the stack: Airflow's configuration and the connection to the warehouse."""

from __future__ import annotations

import json
import os

from include.own_folders import VARIABLE as DATASETS
from include.own_folders import own_folders
from include.roots import ANYTHING
from include.roots import VARIABLE as ROOTS
from stack.settings import Settings, write_private

# Refresh quickly: a new DAG file shows within seconds instead of minutes, and short tasks end promptly.
BRISK = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "20",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_FETCH_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # Tasks that start while the API server comes up wait for it.
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
}
PLAIN = {
    # So that the images' pool has a slot for each core, see include/slots.py.
    "AIRFLOW__CORE__PARALLELISM": str(max(10, 2 * (os.cpu_count() or 1) + 4)),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "PYTHONUNBUFFERED": "1",
    "OPENBLAS_NUM_THREADS": "1",  # numpy is imported before processes fork: it must not start threads
}
DEMO_WORKERS = '{"demo-worker": " -m samples.workers "}'
PASSED = (
    "DATASETS", "IMAGE", "KEEP", "LOGS", "MEMORY", "METRICS", "NOTIFY", "QUEUE", "ROOTS", "SCRATCH", "TRIGGERS",
)  # fmt: skip
# By whoever starts the stack. $MILLRACE_EXECUTOR is beside these: another executor than LocalExecutor, or several.
CHOSEN = (
    "AIRFLOW_CONN_",
    "AIRFLOW__CELERY__",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL",
    *(f"MILLRACE_{name}" for name in PASSED),
)


def airflow_environment(settings: Settings) -> dict[str, str]:
    """The caller's environment without foreign Airflow or PostgreSQL settings but connections, plus ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(CHOSEN) or not name.startswith(("AIRFLOW", "PG", "MILLRACE"))
    }
    if kept.get(DATASETS):
        # Airflow's processes run in another folder than the caller.
        kept[DATASETS] = os.pathsep.join(map(str, own_folders()))
    # Each task is a new process and would compile the project's modules anew: a tenth of a second.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**BRISK, **kept, **PLAIN, **_direct(), **_places(settings), **_secrets(settings)}


def write_password_file(settings: Settings) -> None:
    """Tell Airflow's simple login the password of `admin`."""
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    write_private(settings.airflow_home / "passwords.json", json.dumps({"admin": settings.secrets.admin}))


def _direct() -> dict[str, str]:
    """Reach this machine without the caller's HTTP proxy."""
    hosts = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1,localhost"]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def _places(settings: Settings) -> dict[str, str]:
    home, repository = settings.airflow_home, settings.repository
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": os.environ.get("MILLRACE_EXECUTOR") or "LocalExecutor",
        "AIRFLOW__CORE__DAGS_FOLDER": str(repository / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(repository / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "task_logs.LOGGING_CONFIG",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.logs / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(settings.logs / "dag_processor"),
        "AIRFLOW__API__PORT": str(settings.api_port),
        "AIRFLOW__API__BASE_URL": settings.url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.url}/execution/",
        "MILLRACE_MEMORY_FOLDER": str(settings.state / "memory"),
        "MILLRACE_MEMORY_PROCESSES": os.environ.get("MILLRACE_MEMORY_PROCESSES") or DEMO_WORKERS,
        "MILLRACE_INBOX": str(settings.inbox),
        # Who uses this stack is who started it: a form opens nothing that their shell would not.
        ROOTS: os.environ.get(ROOTS) or ANYTHING,
        "MILLRACE_TRIGGERS": os.environ.get("MILLRACE_TRIGGERS") or "*",
        "MILLRACE_IMAGES": os.environ.get("MILLRACE_IMAGES") or str(settings.images),
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "config")]),
    }


def _secrets(settings: Settings) -> dict[str, str]:
    secrets = settings.secrets
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.database_url("airflow", "postgresql+psycopg2"),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt,
        "AIRFLOW__API__SECRET_KEY": secrets.api,
        "AIRFLOW__CORE__FERNET_KEY": secrets.fernet,
        "AIRFLOW_CONN_WAREHOUSE": settings.database_url("warehouse"),
    }
