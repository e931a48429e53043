"""A login by LDAP: the API server of the compose file and OpenLDAP, by TLS, with groups as the guide has them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.ports import free_port
from stack.tls.authority import authority, sign
from stack.trial import rights
from tests.login.conftest import REPOSITORY, Deployed, logging_in_by, may
from tests.waiting import until

pytestmark = [pytest.mark.airflow, pytest.mark.directory]
PEOPLE, GROUPS, READER = "ou=people,dc=example,dc=com", "ou=groups,dc=example,dc=com", "cn=airflow,dc=example,dc=com"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
allow bind_anon_cred
pidfile {folder}/slapd.pid
TLSCertificateFile {folder}/server.crt
TLSCertificateKeyFile {folder}/server.key
database mdb
suffix "dc=example,dc=com"
directory {folder}/data
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""
UNIT = "dn: {dn}\nobjectClass: organizationalUnit\nou: {ou}\n"
# What one login by Flask-AppBuilder finds, without a server of its own.
ASK = """
from airflow.providers.fab.www.app import create_app
app = create_app(enable_plugins=False)
with app.test_request_context():
    print(bool(app.appbuilder.sm.auth_user_ldap("anna", "anna-secret")))
"""
PERSON = """dn: uid={name},{people}
objectClass: inetOrgPerson
uid: {name}
cn: {name}
sn: Alt
givenName: {name}
mail: {name}@example.com
userPassword: {name}-secret
"""


@dataclass(frozen=True)
class Directory:
    """OpenLDAP with some people, in a process of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def login(self, scheme: str = "ldaps", **more: Any) -> str:
        """LOGIN of an API server that asks this one."""
        return json.dumps({
            "AUTH_TYPE": "ldap", "AUTH_LDAP_SERVER": f"{scheme}://127.0.0.1:{self.port}", "AUTH_LDAP_SEARCH": PEOPLE,
            "AUTH_LDAP_BIND_USER": READER, "AUTH_LDAP_BIND_PASSWORD": "reader-secret",
            "AUTH_ROLES_MAPPING": {f"cn=loaders,{GROUPS}": ["User"], f"cn=platform,{GROUPS}": ["Admin"]},
            "AUTH_LDAP_TLS_CACERTFILE": str(self.folder / "ca.crt"), **more,
        })  # fmt: skip


@pytest.fixture(scope="module")
def python_ldap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python-ldap of the image, compiled as the Dockerfile does."""
    place = tmp_path_factory.mktemp("python-ldap")
    lock = REPOSITORY / "requirements-ldap.lock"
    install = ("--require-hashes", "--build-constraint", lock, "--requirement", lock, "--target", place)
    command = (Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--python", sys.executable, *install)
    done = subprocess.run(
        command, env={**os.environ, "UV_SYSTEM_CERTS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """OpenLDAP, which answers by TLS alone."""
    folder, port = tmp_path_factory.mktemp("ldap"), free_port()
    own = authority("a CA of the directory")
    server = sign(own, ["localhost", "127.0.0.1"])
    for name, content in (("ca.crt", own.certificate), ("server.crt", server.certificate), ("server.key", server.key)):
        (folder / name).write_bytes(content)
    (folder / "data").mkdir()
    configuration, people = folder / "slapd.conf", folder / "people.ldif"
    configuration.write_text(CONFIGURATION.format(folder=folder, reader=READER))
    people.write_text(
        entries({"anna": ["loaders"], "berta": ["platform", "loaders"], "clara": [], "admin": ["platform"]})
    )
    path = {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    subprocess.run(["slapadd", "-f", configuration, "-l", people], env=path, check=True, capture_output=True)
    with (folder / "slapd.log").open("wb") as log:
        process = subprocess.Popen(
            ["slapd", "-d", "none", "-f", configuration, "-h", f"ldaps://127.0.0.1:{port}"], env=path, stdout=log,
            stderr=log,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or (folder / "slapd.pid").exists(), "OpenLDAP")
        assert process.poll() is None, (folder / "slapd.log").read_text()
        yield Directory(folder, port, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)


def entries(people: Mapping[str, Sequence[str]]) -> str:
    """The directory as LDIF."""
    found = [
        "dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
        f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        "userPassword: reader-secret\n",
        UNIT.format(dn=PEOPLE, ou="people"),
    ]
    for name, groups in people.items():
        own = "".join(f"memberOf: cn={group},{GROUPS}\n" for group in groups)
        found.append(PERSON.format(name=name, people=PEOPLE) + own)
    return "\n".join(found)


@pytest.fixture(scope="module")
def by_ldap(
    deployed: Deployed, directory: Directory, python_ldap: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a second API server, which asks the directory."""
    path = f"{deployed.api.environment['PYTHONPATH']}:{python_ldap}"
    log = Path(tmp_path_factory.mktemp("by-ldap")) / "api.log"
    with logging_in_by(deployed, directory.login(), log, PYTHONPATH=path) as url:
        yield url


def token(url: str, name: str, password: str) -> httpx.Response:
    return httpx.post(f"{url}/auth/token", json={"username": name, "password": password}, trust_env=False, timeout=60)


def rights_of(url: str, name: str) -> list[int]:
    with rights.client(url, name, f"{name}-secret") as client:
        return may(client)


def test_groups_give_roles(by_ldap: str) -> None:
    assert rights_of(by_ldap, "anna") == [200, 202, 403]
    assert rights_of(by_ldap, "berta") == [200, 202, 200]
    assert rights_of(by_ldap, "clara") == [403, 403, 403], "known, and may do nothing"


def test_a_wrong_password_or_none_is_no_login(by_ldap: str) -> None:
    # Active Directory takes a bind without a password for an anonymous one, and calls it a success. So does this one.
    for name, password in (("anna", "wrong"), ("anna", ""), ("nobody", "anna-secret"), ("*", "anna-secret")):
        assert token(by_ldap, name, password).status_code in (400, 401, 422)


def test_a_directory_does_not_speak_for_admin(by_ldap: str, deployed: Deployed) -> None:
    assert token(by_ldap, "admin", "admin-secret").status_code == 401
    assert token(by_ldap, "admin", deployed.password).status_code == 201, "a password of Airflow's own"


def test_a_directory_that_is_silent_or_away_lets_nobody_in_and_admin_still(
    by_ldap: str, directory: Directory, deployed: Deployed
) -> None:
    directory.process.send_signal(signal.SIGSTOP)
    try:
        assert token(by_ldap, "anna", "anna-secret").status_code == 401
        assert token(by_ldap, "admin", deployed.password).status_code == 201
    finally:
        directory.process.send_signal(signal.SIGCONT)
    until(lambda: token(by_ldap, "anna", "anna-secret").status_code == 201, "the directory to answer again")


def test_the_certificate_is_checked(
    directory: Directory, python_ldap: Path, deployed: Deployed, tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(authority("somebody else").certificate)
    path = f"{deployed.api.environment['PYTHONPATH']}:{python_ldap}"
    for ca, found in ((directory.folder / "ca.crt", "True"), (other, "False")):
        login = directory.login(AUTH_LDAP_TLS_CACERTFILE=str(ca))
        own = {**deployed.api.environment, "PYTHONPATH": path, "MILLRACE_LOGIN": login}
        done = subprocess.run(
            [sys.executable, "-c", ASK], env=own, cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == found, done.stdout + done.stderr
