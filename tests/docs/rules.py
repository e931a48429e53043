"""What is done with each command of the documentation: it runs, or it is checked in another way, for a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import yaml

from bench import __main__ as bench
from campaign import __main__ as campaign
from fuzz import __main__ as fuzz
from include.ingest import __main__ as ingest
from stack import __main__ as stack
from stack.reference import settings
from tests.docs.fences import REPOSITORY, words

COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
RUNS = (
    r"\./run (up|status|secrets|dataset|ingest(?! rejected| replay)|psql|airflow) ?",
    r"\.venv/bin/python -m include\.ingest (check|init|preview|run) ",
    r"(cat|printf|sed|mkdir|mv) ",
    r"(URL|PASSWORD|TOKEN|NEWEST|UNDO)=",
    r"curl ",
)


@dataclass(frozen=True)
class Rule:
    """Commands that can't run in a test: why not, and what holds them instead."""

    pattern: str
    reason: str
    check: Callable[[str], None]


def runs(command: str) -> bool:
    """Whether a command runs on the tests' stack."""
    return any(re.match(pattern, command) for pattern in RUNS)


def rule_of(command: str) -> Rule:
    """The rule of a command that does not run; fails where there is none."""
    found = [rule for rule in RULES if re.match(rule.pattern, command)]
    if not found:
        pytest.fail(f"no rule in tests/docs/rules.py covers: {command}")
    return found[0]


def _is_here(command: str) -> None:
    assert (REPOSITORY / "run").stat().st_mode & 0o100


def _stack(command: str) -> None:
    arguments = words(command.removeprefix("sudo "))[1:]
    stack._parser().parse_args(arguments)


def _ingest(command: str) -> None:
    ingest._parser().parse_args(words(command.partition(" > ")[0])[2:])


def _bench(command: str) -> None:
    _, _, name, *options = words(command.removeprefix("sudo "))
    assert name in bench.NAMES
    _takes([sys.executable, "-m", "bench", name], options)


def _fuzz(command: str) -> None:
    fuzz._options(words(command)[2:])


def _module(command: str) -> None:
    """A module's command line, which is started from the clone."""
    program, *arguments = words(command)
    assert program == ".venv/bin/python"
    _takes([sys.executable, *arguments[:2]], arguments[2:])


def _takes(program: list[str], options: list[str]) -> None:
    text = _help(*program)
    assert [option for option in options if option.startswith("--") and f"{option} " not in f"{text} "] == []


@cache
def _help(*program: str) -> str:
    """What a program says of its options; some take seconds to start."""
    done = subprocess.run([*program, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout


def _campaign(command: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words(command.removeprefix("sudo "))[1:])
        campaign._options()


def _compose(command: str) -> None:
    """Each part that calls docker: services, profiles and programs are those of the compose file."""
    parts = [words(re.split(r" [<>] ", part)[0]) for part in re.split(r" && ", command)]
    for other in (part for part in parts if part[0] != "docker"):
        assert other in (["git", "pull"], ["./run", "image"])
    for _, compose, *rest in (part for part in parts if part[0] == "docker"):
        assert compose == "compose"
        if rest[0] == "--profile":
            assert any(rest[1] in service.get("profiles", ()) for service in COMPOSE["services"].values())
            rest = rest[2:]
        verb, *options = rest
        named = [option for option in options if not option.startswith("-") and "=" not in option]
        services = {"build": [], "up": named, "ps": [], "logs": options[1:], "exec": named[:1]}[verb]
        services = [*services, *(option.partition("=")[0] for option in options if "=" in option)]
        assert set(services) <= set(COMPOSE["services"])
        allowed = {"-d", "-f", "--scale", "--force-recreate", "--wait"} if verb != "exec" else {"-T", "-U", "-q"}
        assert {option for option in options if option.startswith("-")} <= allowed


def _kubernetes(command: str) -> None:
    values = (REPOSITORY / "deploy" / "helm" / "values.yaml").read_text()
    parts = words(command)
    if "--version" in parts:
        assert f"apache-airflow/airflow {parts[parts.index('--version') + 1]}" in values
        assert (REPOSITORY / parts[parts.index("-f") + 1]).exists()
    if parts[-1].startswith("--from-literal="):
        secret, key = parts[-2], parts[-1].removeprefix("--from-literal=").partition("=")[0]
        assert re.search(rf"name: {secret}, key: {key}\b", values)


def _setting(command: str) -> None:
    """The name is one that the reference has; JSON is JSON."""
    ((name, _, value),) = (word.partition("=") for word in words(command) if word != "export")
    known = {*settings.ENV, *settings.TEXTS}
    assert name in known or name.startswith("AIRFLOW_CONN_")
    if value.startswith(("{", "[")):
        json.loads(value)


def _account(command: str) -> None:
    """Numbers are those of the image's user, names those of the page's own."""
    assert {*re.findall(r"\d{5,}", command)} <= set(re.findall(r"USER (\d+)", (REPOSITORY / "Dockerfile").read_text()))


def _names_a_file(command: str) -> None:
    assert (REPOSITORY / words(command)[-1]).is_file()


def _pools(command: str) -> None:
    module = command.partition(" | ")[0].removeprefix("python ").split()
    done = subprocess.run(
        [sys.executable, *module],
        cwd=REPOSITORY,
        env={"AIRFLOW__CORE__PARALLELISM": "10"},
        capture_output=True,
        check=True,
    )
    assert {"ingest", "images", "memory"} == json.loads(done.stdout).keys()


def _is_run_elsewhere(command: str) -> None:
    """The page of which a test runs every command has it."""
    assert command in (REPOSITORY / "docs" / "how-to" / "bring-into-your-airflow.md").read_text()


RULES = (
    Rule(r"git clone ", "the stack of the tests is a copy of this clone", _is_here),
    Rule(r"\./run (demo|down)", "tests/stack/test_demo.py and test_run.py run them", _stack),
    Rule(r"\./run ingest (rejected|replay) ", "takes ids; tests/ingest/replay/test_command.py has some", _ingest),
    Rule(r"sudo \./run cluster ", "takes root and minutes; tests/stack/test_cluster.py runs one", _stack),
    Rule(r"(sudo )?\./run (image|compose-test)", "takes an engine for containers", _stack),
    Rule(r"(sudo )?\./run bench ", "takes an hour", _bench),
    Rule(r"\./run fuzz", "takes minutes; tests/fuzz runs a bounded part", _fuzz),
    Rule(r"\.venv/bin/python -m fuzz\.", "takes minutes; tests/fuzz runs a bounded part", _module),
    Rule(r"sudo \./run campaign ", "takes root and an hour; tests/stack/test_campaign.py runs a round", _campaign),
    Rule(
        r"(git pull && )?(\./run image && )?docker compose ", "takes Docker; test_compose.py reads the file", _compose
    ),
    Rule(r"(kubectl|helm) ", "takes a cluster", _kubernetes),
    Rule(r"(export )?[A-Z_]+=", "stands in .env, or is set before the stack starts", _setting),
    Rule(r"sudo (groupadd|install|usermod) ", "changes accounts of the machine", _account),
    Rule(r"promtool ", "takes Prometheus; tests/operate/test_rules.py runs it", _names_a_file),
    Rule(r"python -m include\.slots \| ", "is for another deployment's Airflow", _pools),
    Rule(r"(python -m include\.|airflow )", "tests/dags/test_existing_airflow.py runs its page", _is_run_elsewhere),
)


def files() -> dict[str, str]:
    """Files that a reader of the guides has."""
    return {
        "payments.csv": "payment_id,paid_at,amount,method,note\n1,2026-03-01 09:30,12.50,card,\n",
        "prices.csv": "sku,price\nA-1,0.15\n",
    }
