"""What some tests need beyond Python and git: one list, and one rule for what is missing.

A test says what it needs by markers. Where that is missing, a run of everything or of a folder leaves the test out: a
line at the head of the report says so for each tool and what to install, and the end counts the tests. A test that the
command line names, or whose file it names, fails instead. `python -m tests.runner.tools` prints the packages that are
missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from stack.cluster.limits import Limits
from stack.cluster.supervisor import NAMESPACES
from tests.helm import rendering


@dataclass(frozen=True)
class Tool:
    """Programs that the tests of a marker start, the Debian packages that have them, and what is tried with them."""

    programs: str
    packages: str
    tries: str


TOOLS = {
    "browser": Tool("chromium", "chromium", "the pages in a browser"),
    "curl": Tool("curl", "curl", "the commands of the docs"),
    "compiler": Tool("cc", "gcc libc6-dev", "clocks that are turned"),
    "directory": Tool("slapd cc", "slapd gcc libc6-dev libldap-dev libsasl2-dev", "logins by LDAP"),
    "hosts": Tool("ip mount nsenter tc unshare", "iproute2 mount util-linux", "hosts on networks of their own"),
    "prometheus": Tool("prometheus", "prometheus", "monitoring"),
    "proxy": Tool("nginx", "nginx", "the proxy in front"),
    "redis": Tool("redis-server", "redis-server", "Celery"),
    "tls": Tool("pg_lsclusters", "postgresql", "TLS to PostgreSQL, which the one of the local stack was built without"),
}
RIGHTS = {
    "root": "what only root may do",
    "namespaces": "namespaces of networks, mounts and processes",
    "cgroups": "memory limits of hosts",
}
# What no package of Debian has.
ELSEWHERE = {"chart": (rendering.missing, "what Kubernetes' chart makes of deploy/helm/values.yaml")}


@cache
def missing() -> dict[str, str]:
    """What is not here: by the marker, what to do about it."""
    found = {name: f"apt-get install {tool.packages}" for name, tool in TOOLS.items() if not _there(tool)}
    found |= {name: remedy for name, (missing_of, _) in ELSEWHERE.items() if (remedy := missing_of())}
    if os.geteuid() != 0:
        return found | dict.fromkeys(RIGHTS, "sudo ./run test")
    return found if "hosts" in found else found | _forbidden()


def _there(tool: Tool) -> bool:
    path = os.environ["PATH"] + ":/usr/sbin"  # which is not on the path of an ordinary user
    return all(shutil.which(program, path=path) for program in tool.programs.split())


def _forbidden() -> dict[str, str]:
    """What a container keeps even from root."""
    limits = Limits(Path(__file__))
    limits.enclose("probe", 1 << 20, ["true"])
    limits.close()
    namespaces = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False).stderr.strip()
    answers = {"namespaces": namespaces, "cgroups": limits.fault}
    return {name: f"not in a container that forbids it: {fault}" for name, fault in answers.items() if fault}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for name, tool in TOOLS.items():
        config.addinivalue_line("markers", f"{name}: needs {tool.programs} ({tool.packages}), tries {tool.tries}")
    for name, tries in (RIGHTS | {name: tries for name, (_, tries) in ELSEWHERE.items()}).items():
        config.addinivalue_line("markers", f"{name}: tries {tries}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """A line for each tool that is missing, unless the command line names files: there it fails."""
    tried = {name: tool.tries for name, tool in TOOLS.items()} | RIGHTS
    tried |= {name: tries for name, (_, tries) in ELSEWHERE.items()}
    lines = [f"not tried here: {tried[name]} ({remedy})" for name, remedy in missing().items()]
    return lines if not all(_file_of(argument).is_file() for argument in config.args) else []


@pytest.hookimpl(tryfirst=True)  # before any fixture starts what the test needs
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test whose tool is missing, or fail it where it was asked for."""
    remedies = dict.fromkeys(missing()[marker.name] for marker in item.iter_markers() if marker.name in missing())
    if not remedies:
        return
    what = f"needs what is missing here: {'; '.join(remedies)}"
    if item.path in {_file_of(argument) for argument in item.config.args}:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def _file_of(argument: str) -> Path:
    """The file of an argument of pytest such as tests/test_x.py::test_y[1]."""
    return Path(argument.partition("::")[0]).resolve()


if __name__ == "__main__":
    print(*sorted({package for name in TOOLS.keys() & missing().keys() for package in TOOLS[name].packages.split()}))
