"""What `LOGIN` of `.env` says of the login, as the settings of Flask-AppBuilder.

It is a JSON object in Flask-AppBuilder's own names. Empty, users and their passwords are in Airflow's metadata. Who
comes by LDAP or OAuth is entered there at the first login, with the roles that `AUTH_ROLES_MAPPING` has for the groups.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

TYPES = {"database": 1, "ldap": 2, "oauth": 4}  # AUTH_DB, AUTH_LDAP and AUTH_OAUTH of flask_appbuilder.const
KNOWN = ("AUTH_LDAP_", "AUTH_ROLES_", "AUTH_USER_REGISTRATION", "OAUTH_PROVIDERS")
NEEDED = {"database": (), "ldap": ("AUTH_LDAP_SERVER", "AUTH_LDAP_SEARCH"), "oauth": ("OAUTH_PROVIDERS",)}
LDAPS_PORT = 636
LDAP_SECONDS = 5  # without it, a server that is silent keeps a thread of the API server for ever
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class BadLogin(ValueError):
    """`LOGIN` says what can't be followed, so the API server must not start."""


def settings(text: str) -> dict[str, Any]:
    """Flask-AppBuilder's settings. Raises BadLogin."""
    given = _object(text)
    kind = given.pop("AUTH_TYPE", "database")
    if kind not in TYPES:
        raise BadLogin(f"LOGIN: AUTH_TYPE is one of {', '.join(TYPES)}")
    unknown = [name for name in given if not name.startswith(KNOWN)]
    if unknown:
        raise BadLogin(f"LOGIN: {', '.join(unknown)} can't be set here; LOGIN_FILE names a file of your own")
    missing = [name for name in NEEDED[kind] if not given.get(name)]
    if missing:
        raise BadLogin(f"LOGIN: AUTH_TYPE {kind} needs {', '.join(missing)}")
    return {"AUTH_TYPE": TYPES[kind], **USUAL[kind](given), **given}


def limit_ldap() -> None:
    """Give up on an LDAP server that is silent. Raises BadLogin where this environment lacks python-ldap."""
    try:
        import ldap
    except ImportError as fault:
        raise BadLogin("LOGIN: AUTH_TYPE ldap needs python-ldap, which is not installed here") from fault
    ldap.set_option(ldap.OPT_NETWORK_TIMEOUT, LDAP_SECONDS)
    ldap.set_option(ldap.OPT_TIMEOUT, LDAP_SECONDS)


def is_silent(servers: str) -> bool:
    """Whether the LDAP server that would be asked takes connections and does not answer. `servers` are URLs.

    libldap's limits of time do not hold while it waits for the first answer by TLS: that login would never end.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without certificates, which take 27 ms to read
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # libldap judges the server's
    for server in map(urlsplit, servers.split()):
        if server.scheme != "ldaps":
            return False
        try:
            plain = socket.create_connection((server.hostname, server.port or LDAPS_PORT), LDAP_SECONDS)
        except (OSError, ValueError):  # a port that is no number
            continue  # libldap gives up on this one, too, and asks the next
        try:
            context.wrap_socket(plain, server_hostname=server.hostname).close()
        except TimeoutError:
            return True
        except OSError:
            return False  # an answer of a kind
        finally:
            plain.close()
        return False
    return False


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as fault:
        raise BadLogin(f"LOGIN is no JSON: {fault}") from None
    if not isinstance(found, dict):
        raise BadLogin("LOGIN is no JSON object")
    return found


def _nothing(given: dict[str, Any]) -> dict[str, Any]:
    return {}


def _elsewhere(given: dict[str, Any]) -> dict[str, Any]:
    """Users of a directory get in, and may do nothing until a group of theirs, or an admin, gives them a role."""
    return {
        "AUTH_USER_REGISTRATION": True,
        "AUTH_USER_REGISTRATION_ROLE": "Public",
        # With no groups to go by, each login would take away what an admin gave.
        "AUTH_ROLES_SYNC_AT_LOGIN": bool(given.get("AUTH_ROLES_MAPPING")),
    }


def _ldap(given: dict[str, Any]) -> dict[str, Any]:
    if not given["AUTH_LDAP_SERVER"].startswith("ldaps://") and "AUTH_LDAP_USE_TLS" not in given:
        raise BadLogin("LOGIN: AUTH_LDAP_SERVER is not ldaps://: say whether AUTH_LDAP_USE_TLS is true")
    own = os.environ.get("SSL_CERT_FILE", CERTIFICATES)
    return {**_elsewhere(given), "AUTH_LDAP_TLS_DEMAND": True, "AUTH_LDAP_TLS_CACERTFILE": own}


USUAL = {"database": _nothing, "ldap": _ldap, "oauth": _elsewhere}
