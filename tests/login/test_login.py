"""Who gets in, what each role may do, and how often a password may be tried, on the API server of the compose file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from stack.errors import StackError
from stack.trial import page_login, rights
from tests.login.conftest import REPOSITORY, Deployed

pytestmark = pytest.mark.airflow
READ = f"{rights.PREFIX}/counts"
(GUIDE,) = (
    re.findall(r"`(can [^`]+)`", line)
    for line in (REPOSITORY / "docs" / "how-to" / "secure.md").read_text().split("\n\n")
    if "`can read on DAG:ingest_orders`" in line
)


def test_each_route_as_each_role_is_as_the_table_says(deployed: Deployed) -> None:
    before = users(deployed)
    seen = rights.try_all(deployed.url, deployed.password)
    assert {code for one in seen for code in one.answers.values()} >= {200, 401, 403}
    assert len([one for one in seen if rights.PREFIX in one.route]) > 40
    assert users(deployed) == before, "what it made is gone again"


def users(deployed: Deployed) -> set[str]:
    with rights.client(deployed.url, "admin", deployed.password) as admin:
        return {one["username"] for one in admin.get("/auth/fab/v1/users").json()["users"]}


def test_another_table_than_the_servers_is_noticed(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rights.PAGE.read_text()
    read = "| page Memory: `GET /millrace/memory/…` | view runs of `audit_memory` | yes |"
    assert read in text

    real = rights.lines
    for changed, said in (
        (text.replace(read, read.replace("yes", "no")), r"not as the table says: GET /millrace/memory"),
        (text.replace("`POST /millrace/upload`, ", ""), r"no line for \['POST /millrace/upload'\]"),
        (
            text.replace("`POST /millrace/upload`, ", "`POST /millrace/upload`, `GET /millrace/none`, "),
            "no request for",
        ),
    ):
        table = real(changed)
        monkeypatch.setattr(rights, "lines", lambda _, table=table: table)
        with pytest.raises(StackError, match=said):
            rights.try_all(deployed.url, deployed.password)


@pytest.fixture
def loader(deployed: Deployed) -> Iterator[httpx.Client]:
    """A user whose role of the guide is for the DAG `ingest_orders` alone."""
    role = {"name": "Loader", "actions": [permission(one) for one in GUIDE]}
    user = {
        "username": "loader", "password": "loads-orders", "email": "loader@localhost", "first_name": "A",
        "last_name": "Loader", "roles": [{"name": "Loader"}],
    }  # fmt: skip
    with rights.client(deployed.url, "admin", deployed.password) as admin:
        admin.post("/auth/fab/v1/roles", json=role).raise_for_status()
        admin.post("/auth/fab/v1/users", json=user).raise_for_status()
        with rights.client(deployed.url, "loader", "loads-orders") as client:
            yield client
        admin.delete("/auth/fab/v1/users/loader").raise_for_status()
        admin.delete("/auth/fab/v1/roles/Loader").raise_for_status()


def permission(said: str) -> dict[str, dict[str, str]]:
    """What the pages of users call so, as a role has it."""
    action, resource = re.fullmatch(r"can (\w+) on (.+)", said).groups()  # type: ignore[union-attr]
    return {"action": {"name": f"can_{action}"}, "resource": {"name": resource}}


def test_a_role_for_a_single_dag_opens_that_dataset_and_nothing_else(loader: httpx.Client) -> None:
    assert [one["name"] for one in loader.get("/millrace/ingest/datasets").json()["datasets"]] == ["orders"]
    row = loader.get("/millrace/ingest/rejected").json()["rows"][0]["id"]
    assert loader.post(f"/millrace/ingest/rejected/{row}/check", json={}).status_code == 200
    assert loader.get("/api/v2/plugins").status_code == 200
    for path in (READ, "/millrace/memory/processes", "/api/v2/dags/resize_images/dagRuns", "/api/v2/connections"):
        assert loader.get(path).status_code == 403


def test_the_page_its_cookies_and_the_logout(deployed: Deployed) -> None:
    assert "refuse another site's page" in page_login.try_page(deployed.url, deployed.password)


def test_metrics_take_their_own_token(deployed: Deployed) -> None:
    token = deployed.variables["METRICS_TOKEN"]
    answer = httpx.get(
        f"{deployed.url}/millrace/metrics", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    )
    assert answer.status_code == 200


def test_a_name_waits_after_ten_wrong_passwords(deployed: Deployed) -> None:
    assert [deployed.token("anna", f"wrong {number}").status_code for number in range(12)] == [401] * 10 + [429] * 2
    late = deployed.token("Anna", "wrong")
    assert late.status_code == 429, "names are the same in any case"
    assert late.headers["retry-after"] == "60"
    assert deployed.token("berta", "wrong").status_code == 401


def test_few_passwords_are_judged_at_a_time_and_other_requests_go_on(deployed: Deployed) -> None:
    with (
        rights.client(deployed.url, "admin", deployed.password) as admin,
        ThreadPoolExecutor(24) as threads,
    ):
        tries = [threads.submit(deployed.token, f"name-{number}", "wrong") for number in range(24)]
        assert admin.get(READ).status_code == 200
        codes = [one.result().status_code for one in tries]
    assert set(codes) == {401, 429}


def test_a_proxy_with_tls_is_believed(deployed: Deployed) -> None:
    """Here it is this machine, as `PROXY` is not set."""
    referer = deployed.url.replace("http:", "https:")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7", "Referer": referer}
    with httpx.Client(base_url=deployed.url, timeout=60, trust_env=False, headers=headers) as browser:
        answers = [page_login.send_form(browser, "admin", deployed.password)]
        answers += [page_login.send_form(browser, f"other-{number}", "wrong") for number in range(5)]
    (token,) = (one for one in answers[0].headers.get_list("set-cookie") if one.startswith("_token="))
    assert "; Secure" in token
    assert [one.status_code for one in answers] == [302] * 5 + [429], "nobody else has come from that address"
    with page_login.by_page(deployed.url, "admin", deployed.password) as browser:
        assert browser.get(READ).status_code == 200


def test_behind_tls_the_session_needs_it(deployed: Deployed, tmp_path: Path) -> None:
    own = tmp_path / "login.py"
    own.write_text("from webserver_config import *\nprint('secure:', SESSION_COOKIE_SECURE, SECURITY_MANAGER_CLASS)\n")
    for url, said in (("https://airflow.example.com", "True"), ("http://localhost:8080", "False")):
        more = {"AIRFLOW__FAB__CONFIG_FILE": str(own), "AIRFLOW__API__BASE_URL": url}
        done = deployed.run("python", "-m", "prepare_login", **more)
        assert re.search(rf"secure: {said} .*LimitedLogin", done.stdout), "a file of one's own keeps the limits"
        assert "login: roles are current" in done.stdout


def test_admin_gets_the_password_of_the_env_file_and_stays_inactive(deployed: Deployed) -> None:
    def prepared(**more: str) -> str:
        done = deployed.run("python", "-m", "prepare_login", **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    assert prepared() == "login: roles are current, admin is as before"
    with page_login.by_page(deployed.url, "admin", deployed.password) as user:
        assert prepared(ADMIN_PASSWORD="another") == "login: roles are current, admin has its new password"
        assert deployed.token("admin", deployed.password).status_code == 401
        assert deployed.token("admin", "another").status_code == 201
        assert user.get("/auth/users/list/").status_code == 302, "sessions of the old password are over"
    assert prepared() == "login: roles are current, admin has its new password"
    assert deployed.token("admin", deployed.password).status_code == 201


def test_what_init_can_not_follow_ends_it(deployed: Deployed) -> None:
    for variable, value, said in (
        ("MILLRACE_LOGIN", "{", "LOGIN is no JSON"),
        ("AIRFLOW__FAB__CONFIG_FILE", "/nowhere/login.py", "there is no file /nowhere/login.py"),
    ):
        done = deployed.run("python", "-m", "prepare_login", **{variable: value})
        assert done.returncode == 1
        assert said in done.stderr


def test_with_another_auth_manager_there_is_nothing_to_prepare(deployed: Deployed) -> None:
    simple = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    done = deployed.run("python", "-m", "prepare_login", AIRFLOW__CORE__AUTH_MANAGER=simple)
    assert done.returncode == 0
    assert "nothing to prepare" in done.stdout


def test_the_page_takes_five_tries_from_an_address(deployed: Deployed) -> None:
    """The last, as no other test gets in by the page then."""

    def tried(number: int) -> int:
        with httpx.Client(base_url=deployed.url, timeout=60, trust_env=False) as browser:
            return page_login.send_form(browser, f"name-{number}", "wrong").status_code

    with ThreadPoolExecutor(7) as tries:  # at once: on a busy machine six in turn took longer than the 40 seconds
        codes = sorted(tries.map(tried, range(7)))
    assert codes[-1] == 429
    assert set(codes[:-1]) <= {302, 429}, "others have tried before"
