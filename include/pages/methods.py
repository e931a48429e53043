"""HEAD and OPTIONS for what is served: link checkers, caches and `curl -I` ask with them."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from fastapi import FastAPI, Response
from fastapi.routing import APIRoute


def add_methods(app: FastAPI) -> None:
    """Each GET answers HEAD too, asking the same of the user; OPTIONS tells which methods a path has, and nothing else.

    They are not in the schema, which would double it.
    """
    methods: dict[str, set[str]] = defaultdict(set)
    for route in [route for route in app.routes if isinstance(route, APIRoute)]:
        methods[route.path] |= route.methods
        if "GET" in route.methods:
            app.add_api_route(
                route.path, route.endpoint, methods=["HEAD"], dependencies=route.dependencies, include_in_schema=False,
                response_model=None,
            )  # fmt: skip
    for path, found in methods.items():
        allowed = sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))
        app.add_api_route(
            path,
            partial(_options, ", ".join(allowed)),
            methods=["OPTIONS"],
            include_in_schema=False,
            response_model=None,
        )


async def _options(allowed: str) -> Response:
    return Response(status_code=204, headers={"Allow": allowed})
