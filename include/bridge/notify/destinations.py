"""Where a notice goes: to a webhook, by mail, or to any notifier of Airflow.

| Connection | what it says |
| --- | --- |
| type `http` or `https` | host or URL; password alone: a bearer token, with login: basic; extra `headers`, and `fields`, which of the notice are sent |
| type `smtp` | as the provider has it (`from_email`, `disable_ssl`, …); extra `to`: the addresses |
"""  # noqa: E501

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pkgutil import resolve_name
from typing import Any

from airflow.sdk import BaseNotifier, Connection

WAIT_SECONDS = 10.0  # a task's slot, or the triggerer's thread, is held meanwhile
DIGEST_LETTERS = 12
BUSY = (408, 425, 429)


class Undeliverable(ValueError):
    """A Connection that no notice can go to. The message holds no secret of it."""


@dataclass(frozen=True)
class Notice:
    """What somebody is told. `text` is all of it in words: Slack, Mattermost and Teams show this field."""

    event: str
    dag: str
    run: str
    text: str
    link: str


def name_of(to: str | dict[str, Any]) -> str:
    """How logs and the ledger of notices name a destination: the Connection, or the notifier's class and a digest."""
    if isinstance(to, str):
        return to
    # Its arguments may hold a token, and whoever may read the ledger or a log is not to have that.
    digest = hashlib.sha256(json.dumps(to, sort_keys=True).encode()).hexdigest()
    return f"{to['class']} {digest[:DIGEST_LETTERS]}"


def fault_of(error: Exception) -> str:
    """What a log may say of an error: kind and status. Its text may hold the URL of a webhook, which is a secret."""
    if isinstance(error, Undeliverable):
        return str(error)
    status = _status(error)
    return type(error).__name__ if status is None else f"{type(error).__name__} {status}"


def may_pass(error: Exception) -> bool:
    """Whether the same may go well some seconds later: the server is away or busy, and has not refused."""
    import smtplib

    import httpx

    status = _status(error)
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code < 500  # in mail, 4xx is for now and 5xx for good
    if status is not None:
        return status >= 500 or status in BUSY
    return isinstance(error, OSError | httpx.TransportError)


def _status(error: Exception) -> int | None:
    """The status of an answer, as httpx, requests and smtplib have it."""
    found = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "smtp_code", None)
    return found if isinstance(found, int) else None


def send(to: str | dict[str, Any], notice: Notice, context: Any) -> None:
    """Tell one destination. Raises whatever went wrong."""
    if isinstance(to, dict):
        _notifier(to, notice, context)
        return
    found = Connection.get(to)
    if found.conn_type in ("http", "https"):
        _post(found, notice)
    elif found.conn_type == "smtp":
        _mail(to, found, notice)
    else:
        raise Undeliverable(f"Connection {to} is of type {found.conn_type}: notices go to http, https or smtp")


def _notifier(to: dict[str, Any], notice: Notice, context: Any) -> None:
    """Its arguments may be templates: of the task's context, the notice's fields and `exception`, which is the text."""
    arguments = {name: value for name, value in to.items() if name != "class"}
    told = {**(context or {}), **asdict(notice), "notice": notice, "exception": notice.text}
    # `dag` and `run` are Airflow's own words for objects that notifiers look at.
    told |= {name: context[name] for name in ("dag", "run") if context and name in context}
    found = resolve_name(to["class"])
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError(f"{to['class']} is no notifier of Airflow")
    found(**arguments)(told)


def _post(found: Any, notice: Notice) -> None:
    import httpx  # here, as DAG files import this module

    extra = found.extra_dejson or {}
    said = asdict(notice)
    body = {name: said[name] for name in extra.get("fields", said)}
    headers = dict(extra.get("headers", {}))
    if found.password and not found.login:
        headers["Authorization"] = f"Bearer {found.password}"
    login = (found.login, found.password or "") if found.login else None
    # Not followed elsewhere, as the Connection says where it may go.
    answer = httpx.post(_url(found), json=body, headers=headers, auth=login, timeout=WAIT_SECONDS)
    answer.raise_for_status()


def _url(found: Any) -> str:
    """`host` may be a URL; of a Connection that is a URL itself, `schema` is the path."""
    host, port = found.host or "", f":{found.port}" if found.port else ""
    if "://" in host:
        import httpx

        return str(httpx.URL(host, port=found.port) if found.port else host)
    scheme, path = found.conn_type, found.schema or ""
    if path in ("http", "https"):
        scheme, path = path, ""
    return f"{scheme}://{host}{port}/{path.lstrip('/')}"


def _mail(conn_id: str, found: Any, notice: Notice) -> None:
    from html import escape

    from airflow.providers.smtp.hooks.smtp import SmtpHook

    addresses = (found.extra_dejson or {}).get("to")
    if not addresses:
        raise Undeliverable(f'Connection {conn_id} does not say who gets mail: extra {{"to": "somebody@example.com"}}')
    text = escape(notice.text).replace("\n", "<br>")
    link = escape(notice.link)
    with SmtpHook(smtp_conn_id=conn_id) as hook:
        hook.send_email_smtp(
            to=addresses, subject=f"{notice.event}: {notice.dag}", html_content=f'{text}<br><a href="{link}">{link}</a>'
        )
