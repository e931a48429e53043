"""The page Ingest in Airflow's navigation, and as a tab of every DAG's runs; `web_plugin.py` serves it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

FOLDER = "millrace/ingest"
PAGE = f"{FOLDER}/ingest.html"


class IngestPlugin(AirflowPlugin):
    name = "millrace_ingest"
    external_views = [  # noqa: RUF012
        {"name": "Ingest", "href": PAGE, "url_route": "ingest", "destination": "nav", "nav_top_level": True,
         "icon": f"{FOLDER}/ingest.svg", "icon_dark_mode": f"{FOLDER}/ingest-dark.svg"},
        {"name": "Ingest", "href": f"{PAGE}?dag={{DAG_ID}}&run={{RUN_ID}}", "url_route": "ingest_run",
         "destination": "dag_run"},
    ]  # fmt: skip
