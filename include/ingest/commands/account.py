"""How a run's account is printed."""

from __future__ import annotations

import json

from include.ingest.ledger import Account


def show(account: Account, *, as_json: bool) -> None:
    """Print it, as one JSON object or line by line."""
    values = account.as_dict()
    if as_json:
        print(json.dumps(values))
    else:
        for name, value in values.items():
            if value not in ([], {}):
                print(f"{name:>10}  {_readable(value)}")


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} as {held}" for name, held in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
