"""The page Images in Airflow's navigation; `web_plugin.py` serves it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class ImagesPlugin(AirflowPlugin):
    name = "millrace_images"
    external_views = [{  # noqa: RUF012
        "name": "Images", "href": "millrace/images.html", "url_route": "images", "destination": "nav",
        "nav_top_level": True, "icon": "millrace/images.svg", "icon_dark_mode": "millrace/images-dark.svg",
    }]  # fmt: skip
