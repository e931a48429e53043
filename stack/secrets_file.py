"""`./run secrets`: the file `.env` that docker-compose.yaml reads, with passwords and keys made at random."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

from stack.settings import write_private


def _word() -> str:
    """Letters, digits, - and _, as it stands in URLs."""
    return secrets.token_urlsafe(24)


def _fernet() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


MADE: dict[str, Callable[[], str]] = {
    "METADATA_SUPERUSER_PASSWORD": _word,
    "WAREHOUSE_SUPERUSER_PASSWORD": _word,
    "AIRFLOW_DB_PASSWORD": _word,
    "WAREHOUSE_PASSWORD": _word,
    "PAGES_PASSWORD": _word,
    "REDIS_PASSWORD": _word,
    "ADMIN_PASSWORD": _word,
    "METRICS_TOKEN": _word,
    "API_SECRET_KEY": _word,
    "JWT_SECRET": lambda: secrets.token_urlsafe(64),
    "FERNET_KEY": _fernet,
}


def read(file: Path) -> dict[str, str]:
    """The variables of an env file; none when there is no file."""
    if not file.exists():
        return {}
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def complete(file: Path) -> list[str]:
    """Add the secrets that the file lacks, and return their names. What is there is kept, to the letter."""
    found = read(file)
    missing = [name for name in MADE if not found.get(name)]
    if missing:
        before = file.read_text() if file.exists() else ""
        kept = [line for line in before.splitlines() if line.split("=", 1)[0].strip() not in missing]
        write_private(file, "\n".join([*kept, *(f"{name}={MADE[name]()}" for name in missing)]) + "\n")
    return missing
