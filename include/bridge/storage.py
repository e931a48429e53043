"""Object storages as Airflow knows them: an ObjectStoragePath and a Connection give a file system of fsspec.

Airflow brings the file systems of its providers. The one for S3 comes with apache-airflow-providers-amazon; where that
is not installed, s3fs alone does, with what a Connection says in plain words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.io import attach, has_fs

from include.ingest.source import storage

S3 = ("s3", "s3a")
# Long enough for a slow answer, short enough that an upload is told soon that the storage is out of reach.
CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "max_attempts": 3},
    "max_pool_connections": 32,
    "signature_version": "s3v4",  # also of URLs, which botocore would sign the old way in some regions
}
TRIES = 2  # of s3fs, each with the retries above
EXTRA = {"endpoint_url", "region_name", "aws_session_token", "config_kwargs"}


def connect(url: str) -> tuple[Any, str]:
    """The file system of a URL as s3://connection@bucket/prefix, and the path in it.

    Raises ValueError for a scheme or a Connection that is not known.
    """
    parts = urlsplit(url)
    conn_id = parts.netloc.rpartition("@")[0] or None
    try:
        if parts.scheme in S3 and not has_fs(parts.scheme):
            attach(parts.scheme, conn_id, fs=_s3(conn_id))
        if conn_id is None and not has_fs(parts.scheme):  # https for one, of which Airflow has no file system
            return storage.connect(url)
        path = ObjectStoragePath(url)
        return path.fs, path.path
    except AirflowNotFoundException as fault:  # no retry finds it
        raise ValueError(str(fault)) from fault


@dataclass(frozen=True)
class Login:
    """How S3 is reached. With nothing, keys are found as every AWS tool does, in environment, files or by role."""

    key: str | None = None
    secret: str | None = None
    token: str | None = None
    endpoint_url: str | None = None
    region_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def login(conn_id: str | None) -> Login:
    """What a Connection says in plain words."""
    if conn_id is None:
        return Login()
    found = Connection.get(conn_id)
    extra = found.extra_dejson or {}
    if unknown := set(extra) - EXTRA:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"{names} of connection {conn_id}: install apache-airflow-providers-amazon[s3fs] for that")
    return Login(
        found.login, found.password, extra.get("aws_session_token"), extra.get("endpoint_url"),
        extra.get("region_name"), extra.get("config_kwargs", {}),
    )  # fmt: skip


def _s3(conn_id: str | None) -> Any:
    from s3fs import S3FileSystem

    S3FileSystem.retries = TRIES
    known = login(conn_id)
    return S3FileSystem(
        key=known.key,
        secret=known.secret,
        token=known.token,
        endpoint_url=known.endpoint_url,
        client_kwargs={"region_name": known.region_name} if known.region_name else {},
        config_kwargs={**CONFIG, **known.config},
    )
