"""A dataset's `source` for a data interval, without Airflow, as Airflow renders it in a run.

What only Airflow knows, `var`, `conn` and `macros`, can't be filled in here, and the message says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pendulum
from jinja2 import Environment, StrictUndefined, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from include.ingest.dataset import interval
from include.ingest.dataset.definition import Dataset
from include.ingest.dataset.interval import Interval
from include.ingest.errors import SourceUnnamed
from include.own_folders import inbox

OF_AIRFLOW = {"var", "conn", "macros"}


def interval_for(dataset: Dataset, date: datetime | None) -> Interval:
    """The data interval that holds the logical date; without one, the last complete one by the dataset's schedule."""
    if date is not None:
        return interval.holding(dataset.schedule, date)
    return interval.last_complete(dataset.schedule, datetime.now(UTC))


def rendered(dataset: Dataset, found: Interval, environment: Mapping[str, str] = os.environ) -> str:
    """The path or URL of the interval's file. Raises SourceUnnamed where the template can't be filled in here."""
    jinja = _jinja()
    beyond = of_airflow(dataset)
    if beyond:
        raise SourceUnnamed(
            f"dataset {dataset.name}: source {dataset.source!r} names {', '.join(beyond)}, which only Airflow knows:"
            " give the file's path"
        )
    values = {"inbox": inbox(environment), **dates(found)}
    try:
        return str(jinja.from_string(dataset.source).render(values))
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise SourceUnnamed(
            f"dataset {dataset.name}: source {dataset.source!r} can't be rendered: {error}. Fix the field `source`"
        ) from error


def of_airflow(dataset: Dataset) -> list[str]:
    """What the dataset's `source` names that only Airflow knows."""
    return sorted(meta.find_undeclared_variables(_jinja().parse(dataset.source)) & OF_AIRFLOW)


def _jinja() -> Environment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)  # as Airflow's
    environment.filters.update(_FILTERS)
    return environment


def dates(found: Interval) -> dict[str, Any]:
    """The interval under Airflow's names for it; the logical date is its start, as in a scheduled run."""
    start, end = pendulum.instance(found.start), pendulum.instance(found.end)
    texts = {name: show(found.start) for name, show in _FILTERS.items()}
    return {"logical_date": start, "data_interval_start": start, "data_interval_end": end, **texts}


_FILTERS: dict[str, Callable[[datetime], str]] = {
    "ds": lambda moment: f"{moment:%Y-%m-%d}",
    "ds_nodash": lambda moment: f"{moment:%Y%m%d}",
    "ts": lambda moment: moment.isoformat(),
    "ts_nodash": lambda moment: f"{moment:%Y%m%dT%H%M%S}",
    "ts_nodash_with_tz": lambda moment: moment.isoformat().replace("-", "").replace(":", ""),
}
