"""What the template `source` may name: the data interval, and what does not depend on how a run was started.

One logical date is one file, whether its run came by the schedule, the trigger form, the API, the command line or a
backfill. So what belongs to one run, such as `dag_run` or `run_id`, is refused.
"""

from __future__ import annotations

import difflib

from jinja2 import Environment, TemplateSyntaxError, meta
from jinja2.defaults import DEFAULT_NAMESPACE

DATES = (
    "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "logical_date",
    "data_interval_start", "data_interval_end",
)  # fmt: skip
NAMES = ("inbox", *DATES, "macros", "var", "conn")
FILTERS = ("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz")  # Airflow's own, beside those of Jinja
OF_ONE_RUN = (
    "dag", "dag_run", "run_id", "task", "task_instance", "ti", "task_instance_key_str", "params", "test_mode",
    "prev_data_interval_start_success", "prev_data_interval_end_success", "prev_start_date_success",
    "prev_end_date_success", "triggering_asset_events", "inlets", "outlets", "inlet_events", "outlet_events",
    "partition_key", "partition_date", "start_date", "map_index_template", "expanded_ti_count", "templates_dict",
)  # fmt: skip


def check(source: str) -> None:
    """Raise ValueError when the text is no template, or uses a name or a filter that a run could not fill in."""
    environment = Environment(autoescape=True)
    environment.filters.update(dict.fromkeys(FILTERS, str))
    try:
        names = meta.find_undeclared_variables(environment.parse(source)) - set(DEFAULT_NAMESPACE)
    except TemplateSyntaxError as error:  # also for a filter that there is not
        raise ValueError(f"not a template: {error.message}") from None
    faults = [_fault(name) for name in sorted(names - set(NAMES))]
    if faults:
        raise ValueError("; ".join(faults))


def _fault(name: str) -> str:
    if name in OF_ONE_RUN:
        return (
            f"{{{{ {name} }}}} belongs to one run, but the file of a date must be the same however its run was started:"
            f" use {', '.join(DATES)}"
        )
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
    return f"{{{{ {name} }}}} is unknown{f'; did you mean {near[0]}?' if near else ''}; known are {', '.join(NAMES)}"
