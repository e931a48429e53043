"""Images in Airflow's API server: the interface under /millrace, and the page Images in the navigation.

Every process of Airflow runs this file; the work begins in the API server only, in `lifespan`.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    from include.bridge.images_web import serving

    async with serving(app):
        gc.collect()
        gc.freeze()  # what was loaded until now stays; to look through it again and again took a fifth of an upload
        yield


app = FastAPI(title="Millrace images", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)


class ImagesPlugin(AirflowPlugin):
    name = "millrace_images"
    fastapi_apps = [{"app": app, "url_prefix": "/millrace", "name": "Millrace images"}]  # noqa: RUF012
    external_views = [{  # noqa: RUF012
        "name": "Images", "href": "millrace/images.html", "url_route": "images", "destination": "nav",
        "category": "browse",
    }]  # fmt: skip
