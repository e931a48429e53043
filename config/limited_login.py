"""How often passwords may be tried, on Airflow's page of the login and by `POST /auth/token` alike.

Flask-AppBuilder limits its page only, by the client's address. A password takes 32 MB and a tenth of a second to
judge, and an LDAP server may keep a thread of the API server waiting, of which it has forty: so that few logins are
judged at a time, and more are refused at once. After ten wrong passwords for a name, that name has to wait.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any, NoReturn

import fastapi
import flask
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from werkzeug.exceptions import TooManyRequests

from config.login_settings import is_silent

AT_A_TIME = 8
MOST_FAILURES = 10
WAIT_SECONDS, BUSY_SECONDS = 60, 1
MOST_NAMES = 10_000  # whoever makes names up must not fill the memory
LOCAL = "admin"  # has its password in Airflow, so no directory may speak for it
log = logging.getLogger(__name__)


class Failures:
    """Wrong passwords by name, in this process. A name that has too many is `waiting` until they are old enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, and how many

    def waiting(self, name: str) -> bool:
        """Whether the next password of that name is not judged."""
        with self._lock:
            return self._count(name) >= MOST_FAILURES

    def add(self, name: str) -> None:
        """Take note of a wrong one."""
        with self._lock:
            count = self._count(name)
            since = self._known[name][0] if count else self._clock()
            self._known[name] = since, count + 1
            self._known.move_to_end(name)
            if len(self._known) > MOST_NAMES:
                self._known.popitem(last=False)

    def forget(self, name: str) -> None:
        """A right one."""
        with self._lock:
            self._known.pop(name, None)

    def _count(self, name: str) -> int:
        since, count = self._known.get(name, (0.0, 0))
        return count if self._clock() - since < WAIT_SECONDS else 0


class LimitedLogin(FabAirflowSecurityManagerOverride):
    """Flask-AppBuilder's security manager, with limits."""

    failures = Failures()  # of the process: Airflow may make several managers
    places = BoundedSemaphore(AT_A_TIME)

    def auth_user_db(self, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """The user whose password in Airflow's metadata this is, or None."""
        return self._judged(
            username, lambda: super(LimitedLogin, self).auth_user_db(username, password, rotate_session_id)
        )

    def auth_user_ldap(self, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """The user whose password at the LDAP server this is, or None."""
        if self._is_local(username):
            return None
        return self._judged(username, lambda: self._asked(username, password, rotate_session_id))

    def _asked(self, username: str, password: str, rotate_session_id: bool) -> Any:
        if is_silent(self.auth_ldap_server):
            log.error("%s takes connections and does not answer: nobody can log in by it", self.auth_ldap_server)
            return None
        return super().auth_user_ldap(username, password, rotate_session_id)

    def auth_user_oauth(self, userinfo: dict[str, Any], rotate_session_id: bool = True) -> Any:
        """The user that an OAuth provider says it is, or None."""
        if self._is_local(userinfo.get("username") or userinfo.get("email") or ""):
            return None
        return super().auth_user_oauth(userinfo, rotate_session_id)

    def _is_local(self, username: str) -> bool:
        return (username or "").strip().casefold() == LOCAL

    def _judged(self, username: str, judge: Callable[[], Any]) -> Any:
        name = (username or "").casefold()
        if self.failures.waiting(name):
            _refuse(f"too many wrong passwords for this name: wait {WAIT_SECONDS} seconds", WAIT_SECONDS)
        with self._place():
            user = judge()
        if user is None:
            self.failures.add(name)
        else:
            self.failures.forget(name)
        return user

    @contextmanager
    def _place(self) -> Iterator[None]:
        # Whoever waited here would take a thread from all other requests, those of tasks among them.
        if not self.places.acquire(blocking=False):
            _refuse("other logins are being judged: try again", BUSY_SECONDS)
        try:
            yield
        finally:
            self.places.release()


def _refuse(reason: str, seconds: int) -> NoReturn:
    """429, in the words of whoever serves this request: Flask its pages, FastAPI the tokens."""
    if flask.has_request_context():
        raise TooManyRequests(reason, retry_after=seconds)
    raise fastapi.HTTPException(429, reason, {"Retry-After": str(seconds)})
