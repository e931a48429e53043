"""Tells whoever `notify` names of a run that failed, is odd, late, or well again: once, not for each retry.

What can't be told is a warning in the log and fails nothing. No log holds an error's text: a webhook's URL is a secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import psycopg
from airflow.configuration import conf
from airflow.sdk import get_current_context

from include.bridge import WAREHOUSE, log
from include.bridge.database import connected
from include.bridge.notify.destinations import Notice, fault_of, may_pass, name_of, send
from include.ingest.dataset.definition import Dataset
from include.notify import Notify, rules_for
from include.warehouse import notices

APPLICATION = "millrace-notify"
To = str | dict[str, Any]
Ledger = psycopg.Connection | None  # None: it can't be reached
# Airflow calls back once, so what is away for some seconds must be tried again here: all destinations after the same
# pauses, and none again later than `PATIENCE_SECONDS`. The thread of a task, the triggerer or the DAG processor is held
# meanwhile, and the last of these is ended after 50 seconds.
PAUSES_SECONDS = (3.0, 9.0)
PATIENCE_SECONDS = 30.0
UNASKED = "the ledger of notices can't be asked, so a notice may be told twice: %s"


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

    def tell(to: To, wanted: bool, ledger: Ledger) -> None:
        if ledger is None:  # what nobody knows the beginning of has no end
            return
        with notices.recovering(ledger, dag_id, name_of(to)) as runs:
            if runs and wanted:
                _send(to, "recovery", context, f"run {run} went well. Before it: {', '.join(runs)}")

    rules = _rules(context, dataset)
    _try((to, partial(tell, to, "recovery" in rule.on)) for rule in rules for to in rule.to)


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

    def tell(to: To, ledger: Ledger) -> None:
        with _due(ledger, dag_id, name_of(to), event, run) as due:
            if due:
                _send(to, event, context, text)

    _try((to, partial(tell, to)) for rule in rules if event in rule.on for to in rule.to)


@contextmanager
def _due(ledger: Ledger, subject: str, destination: str, event: str, run: str) -> Iterator[bool]:
    """Whether it is still to be told: also where the ledger can't say so, as rather twice than never."""
    with ExitStack() as stack:
        due = True
        if ledger is not None:
            try:
                due = stack.enter_context(notices.once(ledger, subject, destination, event, run))
            except psycopg.Error as error:  # full, read-only, not migrated, or gone meanwhile
                log.warning(UNASKED, fault_of(error))
        yield due


def _send(to: To, event: str, context: Any, text: str) -> None:
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


def _try(each: Iterable[tuple[To, Callable[[Ledger], None]]]) -> None:
    """Tell each destination; those that are away once more after each pause.

    One that is away or wrong is no fault of the run, nor of the next destination.
    """
    left = list(each)
    if not left:
        return
    with _reached() as ledger:
        until = time.monotonic() + PATIENCE_SECONDS
        for pause in (0.0, *PAUSES_SECONDS):
            if not left or time.monotonic() + pause > until:
                return
            time.sleep(pause)
            left = [(to, tell) for to, tell in left if _is_away(to, partial(tell, ledger))]


@contextmanager
def _reached() -> Iterator[Ledger]:
    """The warehouse, where the ledger of notices is. One that does not answer takes half a minute: once."""
    with ExitStack() as stack:
        ledger: Ledger = None
        try:
            ledger = stack.enter_context(connected(WAREHOUSE, APPLICATION))
        # Away, or without a Connection, or with a wrong one: nothing of it may keep a notice back.
        except Exception as error:
            log.warning(UNASKED, fault_of(error))
        yield ledger


def _is_away(to: To, tell: Callable[[], None]) -> bool:
    """Tell one destination; whether that failed in a way that may pass."""
    try:
        tell()
    except psycopg.Error as error:
        log.warning("the ledger of notices does not know whether %s was told: %s", name_of(to), fault_of(error))
    except Exception as error:
        log.warning("%s could not be told: %s", name_of(to), fault_of(error))
        return may_pass(error)
    return False
