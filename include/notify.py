"""Who is told of what: the field `notify` of a dataset file, and $MILLRACE_NOTIFY for everything else.

$MILLRACE_NOTIFY is JSON: one such mapping or a list of them, each with `dags`, patterns of DAG ids; without, all DAGs
of Millrace are meant. A dataset that has `notify` of its own is told of by that alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

VARIABLE = "MILLRACE_NOTIFY"
Event = Literal["failure", "warning", "recovery", "late"]
LONGEST = 250  # the id of a Connection: Airflow's column takes no more
EVENTS: tuple[Event, ...] = ("failure", "warning", "recovery", "late")


class Notify(BaseModel):
    """Who is told of a failure, a warning, lateness and recovery, once for each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: list[str | dict[str, Any]] = Field(
        min_length=1,
        description="Airflow Connections of type http or smtp, by id; or a mapping: the class of any notifier of"
        " Airflow, and its arguments.",
    )
    on: list[Event] = Field(
        list(EVENTS),
        min_length=1,
        description="failure of a run; warning about one that is done; late, as fresh_by says; recovery afterwards.",
    )

    @field_validator("to")
    @classmethod
    def _named(cls, value: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
        for one in value:
            if isinstance(one, str) and ("://" in one or len(one) > LONGEST):
                raise ValueError("must be ids of Connections: a URL, which may be secret, belongs into one")
            if not one or (isinstance(one, dict) and not isinstance(one.get("class"), str)):
                raise ValueError("must be ids of Connections, or mappings with `class`, the path of a notifier's class")
        return value


class Rule(Notify):
    """The same for DAGs by name."""

    dags: list[str] = Field(["*"], min_length=1)


# What is wrong is said without the value, which may be a notifier's token: it goes to a task's log.
_RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule], config=ConfigDict(hide_input_in_errors=True))


def rules_for(dag_id: str, environment: Mapping[str, str] | None = None) -> Iterator[Notify]:
    """The rules of the environment for a DAG. Raises ValueError that names the variable where it is no such JSON."""
    text = (os.environ if environment is None else environment).get(VARIABLE) or "[]"
    try:
        found = json.loads(text)
        rules = _RULES.validate_python(found if isinstance(found, list) else [found])
    except (ValidationError, json.JSONDecodeError) as error:
        raise ValueError(
            f'${VARIABLE} must be JSON as {{"to": ["a connection"], "on": ["failure"], "dags": ["ingest_*"]}},'
            f" or a list of it. {error}"
        ) from error
    yield from (rule for rule in rules if any(fnmatchcase(dag_id, pattern) for pattern in rule.dags))
