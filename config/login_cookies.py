"""What the provider of the login leaves open about its cookies: `_token`, which Airflow reads, and Flask's session."""

from __future__ import annotations

import asyncio

import flask
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN as TOKEN
from jwt import InvalidTokenError


def keep_to_the_site(response: flask.Response) -> flask.Response:
    """Have the token sent by pages of this site only. The provider says nothing, and not all browsers do so then."""
    if cookies := response.headers.getlist("Set-Cookie"):
        response.headers.setlist("Set-Cookie", [_lax(one) for one in cookies])
    return response


def end_with_the_token() -> None:
    """Forget who is logged in, where the token is gone, out of date or revoked.

    Airflow's logout revokes the token and leaves the session, which would get its owner a new one for 30 days.
    """
    if "_user_id" in flask.session and not _is_good(flask.request.cookies.get(TOKEN, "")):
        flask.session.clear()


def _lax(cookie: str) -> str:
    return cookie if "; samesite=" in cookie.lower() else f"{cookie}; SameSite=Lax"


def _is_good(token: str) -> bool:
    if not token:
        return False
    try:
        asyncio.run(get_auth_manager().get_user_from_token(token))
    except InvalidTokenError:
        return False
    return True
