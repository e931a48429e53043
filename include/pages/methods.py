"""HEAD and OPTIONS for what is served: link checkers, caches and `curl -I` ask with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute


def add_methods(app: FastAPI) -> None:
    """Each GET answers HEAD too, asking the same of the user; OPTIONS tells which methods a path has, and nothing else.

    They are not in the schema, which would double it.
    """
    methods: dict[str, set[str]] = defaultdict(set)
    for route in [route for route in app.routes if isinstance(route, APIRoute)]:
        methods[route.path] |= route.methods
        if "GET" in route.methods:
            app.router.add_api_route(
                route.path, route.endpoint, methods=["HEAD"], dependencies=route.dependencies, include_in_schema=False,
                response_model=None, route_class_override=_Head,
            )  # fmt: skip
    for path, found in methods.items():
        allowed = sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))
        app.add_api_route(
            path, partial(_options, ", ".join(allowed)), methods=["OPTIONS"], include_in_schema=False,
            response_model=None,
        )  # fmt: skip


class _Head(APIRoute):
    """The answer to a GET without its body, of which nothing is made that is made as it is sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def bare(request: Request) -> Response:
            whole = await answer(request)
            head = Response(status_code=whole.status_code)
            head.raw_headers = whole.raw_headers
            return head

        return bare


async def _options(allowed: str) -> Response:
    return Response(status_code=204, headers={"Allow": allowed})
