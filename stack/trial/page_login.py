"""The login by Airflow's page: what its cookies open, to whom, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpx

from stack.errors import StackError
from stack.trial.rights import PREFIX, TIMEOUT_SECONDS, Probe, client, found_at

FIELD = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
ELSEWHERE = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
# They change nothing: the edited file is in the request, and is not kept.
HARMLESS = {f"POST {PREFIX}/ingest/datasets/{{name}}/check", f"POST {PREFIX}/ingest/datasets/{{name}}/preview"}
READ = f"{PREFIX}/counts"


def try_page(url: str, password: str) -> str:
    """Log in, change things from this site and from another, log out. Raises StackError where that is not as said."""
    with client(url, "admin", password) as bearer, by_page(url, "admin", password) as user:
        changes = [one for one in found_at(bearer) if one.method != "GET" and one.route.split()[1].startswith(PREFIX)]
        guarded = [one for one in changes if one.route not in HARMLESS]
        _same_site(user, url, guarded)
        _expect(bearer.post(f"{PREFIX}/images/retry", headers=ELSEWHERE), 202, "a token from another site")
        _cookies(user)
        _logout(user, url)
    return f"{len(guarded)} routes refuse another site's page; the logout ends token and session"


@contextmanager
def by_page(url: str, name: str, password: str) -> Iterator[httpx.Client]:
    """A client with the cookies of the login, as a browser has them. Raises StackError when it is refused."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as made:
        answer = send_form(made, name, password)
        if answer.status_code != 302 or "_token" not in made.cookies:
            raise StackError(f"the page does not let {name} in: {answer.status_code}")
        yield made


def send_form(browser: httpx.Client, name: str, password: str) -> httpx.Response:
    """Fill in the page of the login, and return the answer: 302, to the page itself when it is refused."""
    field = FIELD.search(browser.get("/auth/login/").raise_for_status().text)
    if field is None:
        raise StackError("the page of the login has no form")
    body = {"username": name, "password": password, "csrf_token": field[1]}
    return browser.post("/auth/login/", data=body)


def _same_site(user: httpx.Client, url: str, changes: Iterable[Probe]) -> None:
    for probe in changes:
        for other in (ELSEWHERE, {"Origin": ELSEWHERE["Origin"]}, {"Sec-Fetch-Site": "same-site"}, {}):
            _expect(
                user.request(probe.method, probe.path, json=probe.body, headers=other), 403, f"{probe.route} {other}"
            )
    _expect(user.post(f"{PREFIX}/images/retry", headers={"Origin": url}), 202, "a page of this site")
    _expect(user.get(READ), 200, "reading")


def _cookies(user: httpx.Client) -> None:
    for cookie in user.cookies.jar:
        loose = [name for name in ("HttpOnly", "SameSite") if not cookie.has_nonstandard_attr(name)]
        if loose:
            raise StackError(f"the cookie {cookie.name} does not say {' and '.join(loose)}")


def _logout(user: httpx.Client, url: str) -> None:
    stolen = dict(user.cookies)
    # As the page does it; the cookies go, but whoever has them still must not get in, nor get a new token.
    user.get("/api/v2/auth/logout", follow_redirects=True).raise_for_status()
    _expect(user.get(READ), 401, "the browser that logged out")
    for kept in ({"_token": stolen["_token"]}, {"session": stolen["session"]}, stolen):
        with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, cookies=kept) as thief:
            thief.get("/auth/login/")
            thief.get("/auth/")
            if (code := thief.get(READ).status_code) not in (401, 403):
                raise StackError(f"after the logout, {' and '.join(kept)} still open {READ}: {code}")


def _expect(answer: httpx.Response, code: int, what: str) -> None:
    if answer.status_code != code:
        raise StackError(f"{what}: {answer.status_code} and not {code}: {answer.text[:200]}")
