"""What docker-compose.yaml and the Dockerfile say, as plain values: the one source of every service's environment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack.errors import StackError

VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^{}]*))?\}")
ESCAPED = "\0"
SHIFTS = {"k": 10, "m": 20, "g": 30}
ADDED = ("networks", "ports", "tmpfs", "volumes")  # lists of which each file has a part
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Image:
    """What the Dockerfile gives to each of its containers."""

    environment: dict[str, str]
    entrypoint: list[str]


@dataclass(frozen=True)
class Service:
    """One service. `depends_on` is name to condition; `ports` is port of the machine to port of the service.

    `built` says that its image is the one that the file builds, whichever service has the `build`.
    """

    name: str
    image: str
    built: bool
    command: list[str]
    environment: dict[str, str]
    networks: list[str]
    volumes: list[str]
    tmpfs: list[str]
    ports: dict[int, int]
    depends_on: dict[str, str]
    health: list[str]
    working_dir: str
    hostname: str
    replicas: int
    restarts: bool
    grace_seconds: float
    memory_bytes: int


def read_services(
    file: Path, variables: Mapping[str, str], profiles: frozenset[str] = frozenset(), over: Sequence[Path] = ()
) -> list[Service]:
    """The services of a compose file that are of no profile, or of one of `profiles`.

    What files of `over` say is laid over it as compose does it: mappings are joined, networks, ports and mounts are
    added, anything else is replaced. Raises StackError that names the variable when a required one is missing.
    """
    image = read_image(file.with_name("Dockerfile"))
    raw = yaml.safe_load(file.read_text())["services"]
    for further in over:
        raw = _joined(raw, yaml.safe_load(further.read_text())["services"])
    chosen = {name: one for name, one in raw.items() if not one.get("profiles") or profiles & {*one["profiles"]}}
    ours = {one["image"] for one in raw.values() if "build" in one}
    return [
        _service(name, fill(one, variables), image if one["image"] in ours else None) for name, one in chosen.items()
    ]


def port_variable(file: Path, service: str, inner: int) -> str | None:
    """The variable that says on which port of the machine a service's port is; None where none does."""
    for text in yaml.safe_load(file.read_text())["services"][service].get("ports", []):
        if found := re.search(rf"\$\{{(\w+):-\d+\}}:{inner}$", text):
            return found[1]
    return None


def _joined(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return {**under, **{name: _over(name, under.get(name), value) for name, value in over.items()}}


def _over(name: str, under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return _joined(under, over)
    if under and name in ADDED:
        # What is mounted at the same place replaces what was.
        key = _target if name == "volumes" else str
        return list({**{key(one): one for one in under}, **{key(one): one for one in over}}.values())
    return over


def _target(volume: str) -> str:
    """Where a volume is mounted; the source may hold a variable with colons in it."""
    return volume.removesuffix(":ro").rpartition(":")[2]


def read_image(file: Path) -> Image:
    """ENV and ENTRYPOINT of a Dockerfile's last stage, and ENV of those that it is made of."""
    text = file.read_text().replace("\\\n", " ")
    found = re.findall(r"^FROM (\S+)(?: AS (\S+))?$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    stages = {name or "the last": (base, lines) for base, name, lines in found}
    name, settings = list(stages)[-1], dict[str, str]()
    entrypoint = re.findall(r"^ENTRYPOINT (.*)$", stages[name][1], re.MULTILINE)
    while name in stages:
        name, lines = stages[name]
        pairs = [pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", lines, re.MULTILINE) for pair in line.split()]
        settings = {**dict(pairs), **settings}
    return Image(settings, json.loads(entrypoint[-1]))


def fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Every text with its ${VARIABLE}, ${VARIABLE:-default} and ${VARIABLE:?message} filled in; $$ is a dollar sign."""
    if isinstance(value, dict):
        return {name: fill(one, variables) for name, one in value.items()}
    if isinstance(value, list):
        return [fill(one, variables) for one in value]
    if not isinstance(value, str):
        return value
    text, before = value.replace("$$", ESCAPED), ""
    while text != before:  # innermost first, as a default may hold a variable
        before = text
        text = VARIABLE.sub(lambda found: _filled(found, variables), text)
    return text.replace(ESCAPED, "$")


def _filled(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, way, rest = found.groups()
    value = variables.get(name, "")
    if not value and way == ":?":
        raise StackError(f"{name} is not set: {rest}")
    return value or (rest if way == ":-" else "")


def _service(name: str, raw: Mapping[str, Any], image: Image | None) -> Service:
    entrypoint = raw.get("entrypoint") or (image.entrypoint if image else [])
    own = {key: str(value) for key, value in raw.get("environment", {}).items()}
    return Service(
        name=name,
        image=raw["image"],
        built=image is not None,
        command=[*entrypoint, *raw.get("command", [])],
        environment={**image.environment, **own} if image else own,
        networks=list(raw["networks"]),
        volumes=list(raw.get("volumes", [])),
        tmpfs=list(raw.get("tmpfs", [])),
        ports=dict(_port(text) for text in raw.get("ports", [])),
        depends_on={other: how["condition"] for other, how in raw.get("depends_on", {}).items()},
        health=_health(raw.get("healthcheck", {}).get("test", [])),
        working_dir=raw.get("working_dir", ""),
        hostname=raw.get("hostname", name),
        replicas=int(raw.get("deploy", {}).get("replicas", 1)),
        restarts=raw.get("restart", "no") != "no",
        grace_seconds=_seconds(raw.get("stop_grace_period", "10s")),
        memory_bytes=_bytes(raw["mem_limit"]),
    )


def _port(text: str) -> tuple[int, int]:
    *_, outer, inner = text.split(":")
    return int(outer), int(inner)


def _health(test: list[str]) -> list[str]:
    if not test:
        return []
    return test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]


def _bytes(text: str) -> int:
    return int(text[:-1]) << SHIFTS[text[-1]]


def _seconds(text: str) -> float:
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))
