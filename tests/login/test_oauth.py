"""A login by OAuth: the API server of the compose file and a provider that answers as Keycloak does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

from tests.login.conftest import Deployed, logging_in_by, may
from tests.served import served
from tests.waiting import until

pytestmark = pytest.mark.airflow


@dataclass
class Directory:
    """Who is logged in at the provider, and what it says of them."""

    user: dict[str, Any]

    def app(self) -> FastAPI:
        """The provider."""
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def configuration(request: Request) -> dict[str, str]:
            here = str(request.base_url)
            return {
                "issuer": here, "authorization_endpoint": f"{here}authorize", "token_endpoint": f"{here}token",
                "userinfo_endpoint": f"{here}openid-connect/userinfo", "jwks_uri": f"{here}jwks",
            }  # fmt: skip

        @app.get("/authorize")
        def authorize(redirect_uri: str, state: str) -> RedirectResponse:
            return RedirectResponse(f"{redirect_uri}?{urlencode({'code': 'good', 'state': state})}", 302)

        @app.post("/token")
        async def token(request: Request) -> dict[str, Any]:
            assert b"code=good" in await request.body()
            return {"access_token": "of-the-provider", "token_type": "Bearer", "expires_in": 3600}

        @app.get("/openid-connect/userinfo")
        def userinfo(request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == "Bearer of-the-provider"
            return self.user

        return app


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Directory({})


@pytest.fixture(scope="module")
def by_oauth(deployed: Deployed, directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a second API server, which asks the provider."""
    with served(directory.app()) as provider:
        remote = {
            "client_id": "airflow", "client_secret": "secret", "api_base_url": f"{provider}/",
            "server_metadata_url": f"{provider}/.well-known/openid-configuration",
            "client_kwargs": {"scope": "email profile"},
        }  # fmt: skip
        one = {"name": "keycloak", "icon": "fa-key", "token_key": "access_token", "remote_app": remote}
        mapping = {"loaders": ["User"], "platform": ["Admin"]}
        login = {"AUTH_TYPE": "oauth", "OAUTH_PROVIDERS": [one], "AUTH_ROLES_MAPPING": mapping}
        log = Path(tmp_path_factory.mktemp("oauth")) / "api.log"
        with logging_in_by(deployed, json.dumps(login), log, NO_PROXY="127.0.0.1") as url:
            yield url


@contextmanager
def logged_in(url: str, directory: Directory, name: str, groups: list[str]) -> Iterator[httpx.Client]:
    """A browser that went from the page to the provider and back."""
    directory.user = {
        "preferred_username": name, "given_name": name, "family_name": "Alt", "email": f"{name}@example.com",
        "groups": groups,
    }  # fmt: skip
    with httpx.Client(base_url=url, timeout=60, trust_env=False, follow_redirects=True) as browser:
        browser.get("/auth/login/keycloak")
        yield browser


def test_groups_give_roles(by_oauth: str, directory: Directory) -> None:
    for name, groups, rights in (
        ("anna", ["loaders", "of-no-role"], [200, 202, 403]),
        ("berta", ["platform"], [200, 202, 200]),
        ("clara", [], [403, 403, 403]),  # known, and may do nothing
    ):
        with logged_in(by_oauth, directory, name, groups) as browser:
            assert may(browser) == rights
            assert {"_token", "session"} <= {*browser.cookies}


def test_a_group_that_is_lost_is_a_role_that_is_lost(by_oauth: str, directory: Directory) -> None:
    with logged_in(by_oauth, directory, "dora", ["platform"]) as browser:
        assert may(browser) == [200, 202, 200]
    with logged_in(by_oauth, directory, "dora", []) as browser:
        until(lambda: may(browser) == [403, 403, 403], "the server to notice, which knows a user for half a minute")


def test_a_directory_does_not_speak_for_admin(by_oauth: str, directory: Directory, deployed: Deployed) -> None:
    for name in ("admin", "Admin"):
        with logged_in(by_oauth, directory, name, ["platform"]) as browser:
            assert "_token" not in browser.cookies
            assert may(browser) == [401, 401, 401]
    answer = httpx.post(
        f"{by_oauth}/auth/token", json={"username": "admin", "password": deployed.password}, trust_env=False, timeout=60
    )
    assert answer.status_code == 201, "a password of Airflow's own"


def test_an_answer_that_nobody_asked_for_is_no_login(by_oauth: str, directory: Directory) -> None:
    directory.user = {"preferred_username": "anna", "email": "anna@example.com", "groups": ["loaders"]}
    with httpx.Client(base_url=by_oauth, timeout=60, trust_env=False) as browser:
        browser.get("/auth/oauth-authorized/keycloak", params={"code": "good", "state": "made-up"})
        assert may(browser) == [401, 401, 401]
