"""What `LOGIN` of `.env` comes to, and what it can't say."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from config import login_settings
from config.login_settings import BadLogin, settings
from stack.ports import free_port
from tests.docs.fences import of, words
from tests.login.conftest import REPOSITORY
from tests.served import served

LDAP = {"AUTH_TYPE": "ldap", "AUTH_LDAP_SERVER": "ldaps://ldap.example.com", "AUTH_LDAP_SEARCH": "dc=example"}


def test_without_it_users_are_in_the_metadata() -> None:
    assert settings("") == {"AUTH_TYPE": 1}
    assert settings('{"AUTH_TYPE": "database"}') == {"AUTH_TYPE": 1}


def test_its_numbers_are_those_of_flask_appbuilder() -> None:
    from flask_appbuilder import const

    assert {"database": const.AUTH_DB, "ldap": const.AUTH_LDAP, "oauth": const.AUTH_OAUTH} == login_settings.TYPES


def test_who_is_in_no_group_may_do_nothing() -> None:
    found = settings(json.dumps(LDAP))
    assert found["AUTH_USER_REGISTRATION"] is True
    assert found["AUTH_USER_REGISTRATION_ROLE"] == "Public"
    assert found["AUTH_ROLES_SYNC_AT_LOGIN"] is False, "what an admin gave stays where no group says otherwise"
    assert settings(json.dumps({**LDAP, "AUTH_ROLES_MAPPING": {"a": ["User"]}}))["AUTH_ROLES_SYNC_AT_LOGIN"] is True
    assert (
        settings(json.dumps({**LDAP, "AUTH_USER_REGISTRATION_ROLE": "Viewer"}))["AUTH_USER_REGISTRATION_ROLE"]
        == "Viewer"
    )


def test_certificates_of_ldap_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/own.pem")
    found = settings(json.dumps(LDAP))
    assert found["AUTH_LDAP_TLS_DEMAND"] is True
    assert found["AUTH_LDAP_TLS_CACERTFILE"] == "/etc/own.pem"


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"AUTH_TYPE": "kerberos"}', "database, ldap, oauth"),
        ('{"AUTH_TYPE": "ldap"}', "AUTH_TYPE ldap needs AUTH_LDAP_SERVER, AUTH_LDAP_SEARCH"),
        ('{"AUTH_TYPE": "oauth"}', "AUTH_TYPE oauth needs OAUTH_PROVIDERS"),
        ('{"AUTH_ROLE_PUBLIC": "Admin"}', "AUTH_ROLE_PUBLIC can't be set here"),
        ('{"AUTH_RATE_LIMITED": false}', "AUTH_RATE_LIMITED can't be set here"),
        (json.dumps({**LDAP, "AUTH_LDAP_SERVER": "ldap://ldap.example.com"}), "AUTH_LDAP_USE_TLS"),
    ],
)
def test_what_it_can_not_say(login: str, said: str) -> None:
    with pytest.raises(BadLogin, match=said):
        settings(login)


def test_ldap_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ldap", None)
    with pytest.raises(BadLogin, match="needs python-ldap"):
        login_settings.limit_ldap()


def test_the_guides_examples_are_followed() -> None:
    fences = of(REPOSITORY / "docs" / "how-to" / "secure.md")
    given = [words(one.text)[0].partition("=")[2] for one in fences if one.text.startswith("LOGIN=")]
    assert [settings(one)["AUTH_TYPE"] for one in given] == [2, 4]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"ldaps://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_directory_is_noticed_where_it_would_be_asked(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_settings, "LDAP_SECONDS", 0.3)
    away, unfit = f"ldaps://127.0.0.1:{free_port()}", "ldaps://127.0.0.1:many"
    with served(FastAPI()) as plain:
        other = plain.replace("http", "ldaps")  # which answers, though not by TLS
        assert login_settings.is_silent(silent)
        assert login_settings.is_silent(f"{away} {unfit} {silent}"), "libldap goes on to it"
        assert not login_settings.is_silent(f"{other} {silent}"), "libldap stays with the first that answers"
    assert not login_settings.is_silent(away)
    assert not login_settings.is_silent(silent.replace("ldaps", "ldap")), "there its own limits of time hold"
