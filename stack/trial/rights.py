"""Who may do what: every route as each role, against the table of docs/security.md.

It asks a server that runs, wherever it does. Its user `admin` makes one user for each role, which go again afterwards.
Requests that are let in change nothing that lasts: a body is refused, nothing has that id, there is nothing to correct,
or a later request takes it back.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx

from stack.errors import StackError
from stack.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "security.md"
ROLES = ("Viewer", "User", "Op", "Admin")
NOBODY = "nobody"
PREFIX = "/millrace"
DAG, DATASET = "ingest_orders", "orders"
TIMEOUT_SECONDS = 60.0
NEVER = 1 << 30  # a number that no row and no change has
PATTERN = re.compile(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`")
# Beside what the server's own OpenAPI has.
FILES = tuple(f"GET {page}/{below}{{file}}" for page in ("", "/ingest", "/memory") for below in ("", "files-{mark}/"))
HIDDEN = (*FILES, "GET /docs", "GET /openapi.json", "POST /upload")
BODIES: dict[str, object] = {
    "POST /millrace/ingest/rejected/{rejected_id}/check": {},
    "PUT /millrace/ingest/rejected/{rejected_id}/correction": {"fields": {}, "seen": NEVER},
    "PUT /millrace/ingest/rejected/{rejected_id}/dismissal": {"seen": NEVER},
    "PUT /millrace/ingest/replays/{request_id}": {"dataset": DATASET, "ids": [NEVER]},
    "POST /millrace/ingest/datasets/{name}/check": {"text": ""},
    "POST /millrace/ingest/datasets/{name}/preview": {"text": ""},
}
QUERIES = {
    "DELETE /millrace/ingest/rejected/{rejected_id}/correction": f"?seen={NEVER}",
    "DELETE /millrace/ingest/rejected/{rejected_id}/dismissal": f"?seen={NEVER}",
}
# Airflow's own, each with what it is sent.
AIRFLOW: dict[str, object] = {
    "GET /api/v2/plugins": None,
    "GET /api/v2/dags": None,
    f"GET /api/v2/dags/{DAG}/dagRuns": None,
    "GET /api/v2/dags/~/dagRuns/~/taskInstances": None,
    f"GET /api/v2/dagSources/{DAG}": None,
    "GET /api/v2/pools": None,
    f"POST /api/v2/dags/{DAG}/dagRuns": {},
    f"POST /api/v2/dags/{DAG}/clearTaskInstances": {"dry_run": True},
    f"PATCH /api/v2/dags/{DAG}": {},
    "DELETE /api/v2/dags/none_of_that_name": None,
    "POST /api/v2/backfills": {"dag_id": DAG},
    "POST /api/v2/pools": {},
    "PATCH /api/v2/pools/none_of_that_name": {},
    "DELETE /api/v2/pools/none_of_that_name": None,
    "GET /api/v2/connections": None,
    "POST /api/v2/connections": {},
    "GET /api/v2/variables": None,
    "POST /api/v2/variables": {},
    "GET /auth/fab/v1/users": None,
    "POST /auth/fab/v1/users": {},
    "GET /auth/fab/v1/roles": None,
    "POST /auth/fab/v1/roles": {},
    "GET /api/v2/eventLogs": None,
}


@dataclass(frozen=True)
class Line:
    """A line of the table: what it is about, and who may."""

    patterns: tuple[str, ...]
    roles: frozenset[str]
    token: bool  # a token of its own, and no login
    open: bool  # nobody is asked for a login


@dataclass(frozen=True)
class Probe:
    """A request. `route` has its parameters in braces."""

    route: str
    path: str
    body: object = None

    @property
    def method(self) -> str:
        """GET, POST, …"""
        return self.route.partition(" ")[0]


@dataclass(frozen=True)
class Seen:
    """What the server answered to a request, by role, and what the table has it answer."""

    route: str
    answers: dict[str, int]
    expected: dict[str, bool | int]

    @property
    def fits(self) -> bool:
        """Whether it is as the table says: a status, or whether somebody is let in."""
        return all(
            code == self.expected[who]
            if not isinstance(self.expected[who], bool)
            else code == 403
            if not self.expected[who]
            else code not in (401, 403) and code < 500
            for who, code in self.answers.items()
        )


def lines(text: str) -> list[Line]:
    """The table under "Who may do what". Raises StackError where it can't be read."""
    rows = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in re.findall(r"^\| .*$", text, re.M)]
    heads = [index for index, row in enumerate(rows) if tuple(row[2:]) == ROLES]
    if len(heads) != 1:
        raise StackError(f"{PAGE.name} has {len(heads)} tables with the columns {', '.join(ROLES)}")
    found = []
    for row in rows[heads[0] + 2 :]:
        if len(row) != 2 + len(ROLES):
            break
        patterns, says = tuple(PATTERN.findall(row[0])), dict(zip(ROLES, row[2:], strict=True))
        if not patterns or not {*says.values()} <= {"yes", "no"}:
            raise StackError(f"{PAGE.name}: a line without routes, or with another word than yes and no: {row[0]}")
        may = frozenset(role for role, word in says.items() if word == "yes")
        found.append(Line(patterns, may, "METRICS_TOKEN" in row[1], "signed link" in row[1]))
    return found


def line_of(route: str, table: Iterable[Line]) -> tuple[str, Line] | None:
    """The line with the pattern that says most of a route, and that pattern."""
    fitting = [
        (pattern, line)
        for line in table
        for pattern in line.patterns
        if pattern == route or (pattern.endswith("…") and route.startswith(pattern[:-1]))
    ]
    return max(fitting, key=lambda one: (one[0] == route, len(one[0])), default=None)


def probes(described: Mapping[str, Mapping[str, object]], known: Mapping[str, str]) -> list[Probe]:
    """A request for every route: those of an OpenAPI's `paths`, ours beside them, and Airflow's own."""
    routes = [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]
    ours = [route.replace(" ", f" {PREFIX}", 1) for route in dict.fromkeys([*routes, *HIDDEN])]
    made = [Probe(one, one.partition(" ")[2].format(**known) + QUERIES.get(one, ""), BODIES.get(one)) for one in ours]
    return made + [Probe(route, route.partition(" ")[2], body) for route, body in AIRFLOW.items()]


def try_all(url: str, password: str) -> list[Seen]:
    """Every route as each role and as nobody. Raises StackError where the table and the server differ."""
    table = lines(PAGE.read_text())
    with client(url) as nobody, client(url, "admin", password) as admin:
        found = found_at(admin)
        matched = {probe.route: line_of(probe.route, table) for probe in found}
        _covered(matched, table)
        with _users(admin, url) as users:
            seen = [_seen(probe, matched[probe.route], {NOBODY: nobody, **users}) for probe in found]
    wrong = [one for one in seen if not one.fits]
    if wrong:
        raise StackError("not as the table says: " + "; ".join(f"{one.route} {one.answers}" for one in wrong))
    return seen


def found_at(admin: httpx.Client) -> list[Probe]:
    """A request for every route of a server."""
    return probes(admin.get(f"{PREFIX}/openapi.json").raise_for_status().json()["paths"], _known(admin))


@contextmanager
def client(url: str, name: str = "", password: str = "") -> Iterator[httpx.Client]:
    """A client with a login, or without. Raises StackError when the login is refused."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as made:
        if name:
            answer = made.post("/auth/token", json={"username": name, "password": password})
            if answer.is_error:
                raise StackError(f"{name} does not get in: {answer.status_code} {answer.text[:200]}")
            made.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield made


def _known(admin: httpx.Client) -> dict[str, str]:
    """Values for the parameters of paths: rows that are there where rights hang on them, and otherwise none."""
    rows = admin.get(f"{PREFIX}/ingest/rejected", params={"dataset": DATASET}).raise_for_status().json()["rows"]
    if not rows:
        raise StackError(f"{DATASET} has no rejected row: ingest a file with a bad one first")
    nothing = str(uuid4())
    return {
        "name": DATASET, "rejected_id": str(rows[0]["id"]), "run_id": rows[0]["run_id"], "file": "base.css",
        "mark": "old",
        "request_id": nothing, "image_id": nothing, "deletion": nothing, "host": "none", "pid": "1",
        "start_ticks": "1", "evidence_id": "1", "token": "none",
    }  # fmt: skip


def _covered(matched: Mapping[str, tuple[str, Line] | None], table: Iterable[Line]) -> None:
    unsaid = [route for route, found in matched.items() if found is None]
    used = {found[0] for found in matched.values() if found}
    untried = [pattern for line in table for pattern in line.patterns if pattern not in used]
    if unsaid or untried:
        raise StackError(f"{PAGE.name}: no line for {unsaid}, no request for {untried}")


@contextmanager
def _users(admin: httpx.Client, url: str) -> Iterator[dict[str, httpx.Client]]:
    """A logged in client for each role."""
    word, clients = secrets.token_urlsafe(12), {}
    with ExitStack() as exits:
        for role in ROLES:
            name = f"trial-{role.lower()}"
            body = {
                "username": name, "password": word, "email": f"{name}@localhost", "first_name": "Trial",
                "last_name": role, "roles": [{"name": role}],
            }  # fmt: skip
            admin.post("/auth/fab/v1/users", json=body).raise_for_status()
            exits.callback(admin.delete, f"/auth/fab/v1/users/{name}")
            clients[role] = exits.enter_context(client(url, name, word))
        yield clients


def _seen(probe: Probe, found: tuple[str, Line] | None, users: Mapping[str, httpx.Client]) -> Seen:
    assert found is not None
    line = found[1]
    expected: dict[str, bool | int] = {role: 401 if line.token else role in line.roles for role in ROLES}
    answers = {who: _ask(user, probe) for who, user in users.items()}
    return Seen(probe.route, answers, {NOBODY: line.open or 401, **expected})


def _ask(user: httpx.Client, probe: Probe) -> int:
    if probe.body is None:
        return user.request(probe.method, probe.path).status_code
    return user.request(probe.method, probe.path, json=probe.body).status_code
