"""The page Memory in Airflow's navigation; `web_plugin.py` serves it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class MemoryPlugin(AirflowPlugin):
    name = "millrace_memory"
    external_views = [{  # noqa: RUF012
        "name": "Memory", "href": "millrace/memory/memory.html", "url_route": "memory", "destination": "nav",
        "nav_top_level": True, "icon": "millrace/memory/memory.svg",
        "icon_dark_mode": "millrace/memory/memory-dark.svg",
    }]  # fmt: skip
