"""Ranges of an S3 object by plain HTTP, under a URL that s3fs has signed: a third of the CPU that s3fs itself takes.

Whatever is not simple is left to s3fs: a proxy, a client with certificates of its own, keys for encryption, an answer
other than 206. So it decides what an error means, and tries again.
"""

from __future__ import annotations

import os
import threading
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

FRESH_SECONDS, VALID_SECONDS = 900, 3600  # a URL is given up long before it runs out, so no request meets its end
AT_ONCE = 16  # connections
TIMEOUT = {"connect": 5.0, "read": 15.0}  # as the file system has them, see include/bridge/storage.py
PARTIAL = 206


class Direct:
    """One object. `get` may be called by many threads."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs, self._path = fs, path
        self._lock = threading.Lock()
        self._url, self._signed_at = "", float("-inf")
        self._simple = _is_simple(fs)
        self._pool: Any = None

    def get(self, tag: str, first: int, end: int) -> bytes | None:
        """These bytes of the object with that tag; None: s3fs may try."""
        url = self._signed() if self._simple else ""
        if not url:
            return None
        from urllib3.exceptions import HTTPError

        condition = {"If-Match": tag} if tag else {}
        try:
            answer = self._pool.request(
                "GET", url, headers={"Range": f"bytes={first}-{end - 1}", **condition}, redirect=False, retries=False
            )
        except HTTPError:
            self._simple = False
            return None
        if answer.status != PARTIAL:
            self._signed_at = float("-inf")
            return None
        return bytes(answer.data)

    def _signed(self) -> str:
        """A URL that is valid for some time yet; empty where the signature is of the kind that S3 gives up."""
        with self._lock:
            if time.monotonic() - self._signed_at > FRESH_SECONDS:
                url = str(self._fs.url(self._path, expires=VALID_SECONDS))
                self._simple &= "X-Amz-Signature=" in url and not _proxied(url)
                self._url, self._signed_at = url, time.monotonic()
                self._pool = self._pool or _pool()
            return self._url if self._simple else ""


@lru_cache(maxsize=64)
def direct(fs: Any, path: str) -> Direct:
    """That of an object, made once in a process."""
    return Direct(fs, path)


def _is_simple(fs: Any) -> bool:
    """Whether a request needs nothing beyond a signed URL."""
    special = fs.req_kw or fs.s3_additional_kwargs or "verify" in fs.client_kwargs
    proxied = fs.config_kwargs.get("proxies")
    return not (special or proxied)


def _proxied(url: str) -> bool:
    place = urlsplit(url)
    return place.scheme in getproxies() and not proxy_bypass(place.hostname or "")


def _pool() -> Any:
    import certifi
    from urllib3 import PoolManager, Timeout

    return PoolManager(
        maxsize=AT_ONCE, timeout=Timeout(**TIMEOUT), ca_certs=os.environ.get("AWS_CA_BUNDLE") or certifi.where()
    )
