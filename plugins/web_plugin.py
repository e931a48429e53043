"""Millrace in Airflow's API server: the interface and the pages' files under /millrace.

It is one application, as of two under one prefix Airflow might ask the wrong one. Every process of Airflow runs this
file; the work begins in the API server only, in `lifespan`.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI

from include.images.links.unlogged import Unlogged


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    from include.bridge.web.serving import serving

    async with serving(app):
        gc.collect()
        gc.freeze()  # what was loaded until now stays; to look through it again and again took a fifth of an upload
        yield


app = FastAPI(title="Millrace", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
app.add_middleware(Unlogged)


class WebPlugin(AirflowPlugin):
    name = "millrace_web"
    fastapi_apps = [{"app": app, "url_prefix": "/millrace", "name": "Millrace"}]  # noqa: RUF012
