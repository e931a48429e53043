"""Tells whoever `notify` names of a run that failed, is odd, late, or well again: once, not for each retry.

What can't be told is a warning in the log and fails nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
from airflow.configuration import conf
from airflow.sdk import get_current_context

from include.bridge import WAREHOUSE, log
from include.bridge.database import connected
from include.bridge.notify.destinations import Notice, name_of, send
from include.ingest.dataset.definition import Dataset
from include.notify import Notify, rules_for
from include.warehouse import notices

APPLICATION = "millrace-notify"


def on_failure(dataset: Dataset | None = None) -> Callable[[Any], None]:
    """An `on_failure_callback`: Airflow calls it when no try is left. The first task that fails speaks for its run."""

    def failed(context: Any) -> None:
        error = context.get("exception")
        text = str(error) or type(error).__name__ if error is not None else "a task failed: see its log"
        _tell(_rules(context, dataset), "failure", context, text)

    return failed


def warn(text: str | None, dataset: Dataset | None = None) -> None:
    """Tell what is odd about this run, where anything is."""
    if text:
        context = get_current_context()
        _tell(_rules(context, dataset), "warning", context, text)


def well(dataset: Dataset | None = None) -> None:
    """This run went well: who was told that an earlier one failed or was late is told so."""
    context: Any = get_current_context()
    dag_id, run = _names(context)
    for rule in _rules(context, dataset):
        for to in rule.to:
            with _let_pass(to), _warehouse() as connection:
                if connection is None:
                    continue
                with notices.recovering(connection, dag_id, name_of(to)) as runs:
                    if runs and "recovery" in rule.on:
                        _send(to, "recovery", context, f"run {run} went well. Before it: {', '.join(runs)}")


def late(dataset: Dataset, context: Any, text: str) -> None:
    """Tell that a table is not as fresh as its dataset says."""
    _tell(_rules(context, dataset), "late", context, text)


def _rules(context: Any, dataset: Dataset | None) -> list[Notify]:
    if dataset is not None and dataset.notify is not None:
        return [dataset.notify]
    try:
        return [*rules_for(_names(context)[0])]
    except ValueError as error:
        log.warning("nobody is told: %s", error)
        return []


def _tell(rules: Iterable[Notify], event: Any, context: Any, text: str) -> None:
    dag_id, run = _names(context)
    for to in (to for rule in rules if event in rule.on for to in rule.to):
        with _let_pass(to), _warehouse() as connection:
            if connection is None:  # nobody can say whether it was told: rather twice than never
                _send(to, event, context, text)
                continue
            with notices.once(connection, dag_id, name_of(to), event, run) as due:
                if due:
                    _send(to, event, context, text)


def _send(to: str | dict[str, Any], event: str, context: Any, text: str) -> None:
    dag_id, run = _names(context)
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    link = f"{base}/dags/{quote(dag_id)}/runs/{quote(run, safe='')}"
    send(to, Notice(event, dag_id, run, f"{dag_id}: {event}. {text}", link), context)
    log.info("told %s of the %s", to if isinstance(to, str) else to["class"], event)


def _names(context: Any) -> tuple[str, str]:
    """DAG and run; a deadline's context has them as plain values."""
    dag_run = context["dag_run"]
    if isinstance(dag_run, dict):
        return str(dag_run["dag_id"]), str(dag_run["dag_run_id"])
    return str(dag_run.dag_id), str(dag_run.run_id)


@contextmanager
def _warehouse() -> Iterator[psycopg.Connection | None]:
    """The warehouse, where the ledger of notices is; None while it is away."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connected(WAREHOUSE, APPLICATION))
        except psycopg.OperationalError:
            connection = None
        yield connection


@contextmanager
def _let_pass(to: str | dict[str, Any]) -> Iterator[None]:
    """A destination that is away or wrong is no fault of the run, nor of the next destination."""
    try:
        yield
    except Exception as error:
        log.warning("%s could not be told: %s: %s", name_of(to), type(error).__name__, error)
