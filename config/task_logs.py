"""Logs of tasks in a bucket: Airflow's `logging_config_class`, for docker-compose.yaml and Kubernetes.

`MILLRACE_LOGS=s3://connection@bucket/prefix` says where; without it, logs stay in the folder where they are written.
The log of a try goes up when the try has ended, and is read from there once it has. Storage and connection are those of
pictures and files to load, so no further provider is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG as LOGGING_CONFIG
from airflow.configuration import conf

if TYPE_CHECKING:
    from include.bridge.bucket import Bucket


class TaskLogs:
    """Airflow's interface for logs elsewhere (`RemoteLogIO`). The client is made in the process that uses it."""

    processors: tuple[Any, ...] = ()

    def __init__(self, url: str, folder: Path, *, delete_local: bool) -> None:
        self._url, self._folder, self._delete_local = url, folder, delete_local
        self._bucket: Bucket | None = None

    def upload(self, path: os.PathLike[str] | str, ti: Any = None) -> None:
        """Bring a log up. What another worker wrote of the same try stays before it."""
        local = self._folder / path
        if not local.exists():
            return
        written, before = local.read_bytes(), self._there().get(_key(path)) or b""
        self._there().put(_key(path), written if written.startswith(before) else before + written)
        if self._delete_local:
            local.unlink()

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """The logs of a try, its triggers' too: where they were found, and their text."""
        try:
            found = self._there().starting_with(_key(relative_path))
        except Exception as fault:
            return [f"Logs in {self._url} cannot be read: {fault}"], None
        return [f"{self._url}/{key}" for key in found], [data.decode(errors="replace") for data in found.values()]

    def _there(self) -> Bucket:
        if self._bucket is None:
            from include.bridge.bucket import Bucket

            self._bucket = Bucket(self._url)
        return self._bucket


def _key(path: os.PathLike[str] | str) -> str:
    return Path(path).as_posix()


REMOTE_TASK_LOG: TaskLogs | None = None
DEFAULT_REMOTE_CONN_ID: str | None = None
if url := os.environ.get("MILLRACE_LOGS"):
    DEFAULT_REMOTE_CONN_ID = urlsplit(url).netloc.rpartition("@")[0] or None
    REMOTE_TASK_LOG = TaskLogs(
        url.rstrip("/"),
        Path(conf.get_mandatory_value("logging", "base_log_folder")),
        delete_local=conf.getboolean("logging", "delete_local_logs"),
    )

__all__ = ("DEFAULT_REMOTE_CONN_ID", "LOGGING_CONFIG", "REMOTE_TASK_LOG")
