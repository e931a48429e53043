"""Whole small objects of an S3 bucket, without threads: for processes that go on to fork, as s3fs keeps a thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.config import Config
from botocore.session import get_session

from include.bridge.storage import CONFIG, S3, login


class Bucket:
    """The place that a URL as s3://connection@bucket/prefix names. Raises ValueError for other storages."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in S3:
            raise ValueError(f"{url}: logs go to s3:// only")
        conn_id, _, self._name = parts.netloc.rpartition("@")
        self._prefix = f"{parts.path.strip('/')}/" if parts.path.strip("/") else ""
        self._client = _client(conn_id or None)

    def put(self, key: str, data: bytes) -> None:
        """Write an object, whole."""
        self._client.put_object(Bucket=self._name, Key=self._prefix + key, Body=data)

    def get(self, key: str) -> bytes | None:
        """The object, or None where there is none."""
        try:
            return bytes(self._client.get_object(Bucket=self._name, Key=self._prefix + key)["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def starting_with(self, key: str) -> dict[str, bytes]:
        """Every object whose key starts so, by key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=self._prefix + key)
        keys = [one["Key"].removeprefix(self._prefix) for page in pages for one in page.get("Contents", [])]
        return {one: data for one in keys if (data := self.get(one)) is not None}

    def delete_older(self, key: str, before: datetime) -> int:
        """Delete every object whose key starts so and that was written before; returns how many."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=self._prefix + key)
        deleted = 0
        for page in pages:  # of 1,000 keys at most, which is also the most that one request deletes
            old = [{"Key": one["Key"]} for one in page.get("Contents", []) if one["LastModified"] < before]
            if old:
                gone = self._client.delete_objects(Bucket=self._name, Delete={"Objects": old, "Quiet": True})
                deleted += len(old) - len(gone.get("Errors", []))
        return deleted


def _client(conn_id: str | None) -> Any:
    known = login(conn_id)
    client: BaseClient = get_session().create_client(
        "s3", aws_access_key_id=known.key, aws_secret_access_key=known.secret, aws_session_token=known.token,
        endpoint_url=known.endpoint_url, region_name=known.region_name, config=Config(**{**CONFIG, **known.config}),
    )  # fmt: skip
    return client
