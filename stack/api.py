"""A small client of Airflow's REST API."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from stack.errors import StackError
from stack.settings import Settings

TIMEOUT_SECONDS = 60.0  # a server that answers nothing must not hold a command for ever
HEARTBEATS = {
    "scheduler": ("scheduler", "latest_scheduler_heartbeat"),
    "triggerer": ("triggerer", "latest_triggerer_heartbeat"),
    "dag-processor": ("dag_processor", "latest_dag_processor_heartbeat"),
}


class AirflowApi:
    """Calls with the login of `admin`; a refused call raises StackError with the server's own words.

    `url` and `trusted` are for a server with TLS: its address, and the file of the CA that is asked for its name.
    """

    def __init__(self, settings: Settings, url: str = "", trusted: Path | None = None) -> None:
        self._password = settings.secrets.admin
        verify = ssl.create_default_context(cafile=trusted) if trusted else True
        # trust_env off: a proxy of the caller's must not see calls to this machine.
        self._http = httpx.Client(base_url=url or settings.url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=verify)

    def heartbeats(self) -> dict[str, float] | None:
        """Seconds since 1970 of the last sign of life of each component; None when the API server is silent."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
            found = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None
        return None if found is None else {name: _seconds(found, *keys) for name, keys in HEARTBEATS.items()}

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def login(self) -> None:
        """Get a token; later calls carry it."""
        answer = self._http.post("/auth/token", json={"username": "admin", "password": self._password})
        token = _checked(answer)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: Any) -> Any:
        """GET /api/v2/<path>, as decoded JSON; None when there is no such thing."""
        answer = self._http.get(f"/api/v2/{path}", params=params)
        return None if answer.status_code == 404 else _checked(answer)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Any request to the server, to a page of ours for one; `options` are those of httpx."""
        return _checked(self._http.request(method, f"/{path}", **options))

    def fetch(self, path: str) -> bytes:
        """The bytes of a page of ours."""
        return _sound(self._http.get(path)).content

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """PATCH /api/v2/<path>."""
        return _checked(self._http.patch(f"/api/v2/{path}", json=body))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST /api/v2/<path>."""
        return _checked(self._http.post(f"/api/v2/{path}", json=body))


def _checked(answer: httpx.Response) -> Any:
    return _sound(answer).json()


def _sound(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise StackError(f"Airflow answered {answer.status_code} to {answer.request.url.path}: {answer.text[:300]}")
    return answer


def _seconds(health: dict[str, Any], part: str, field: str) -> float:
    stamp = (health.get(part) or {}).get(field)
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
