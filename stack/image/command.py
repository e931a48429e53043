"""`./run image`: build the image, say how large it is, and write what is in it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from stack.errors import StackError
from stack.image.engine import Engine, environment, find_engine
from stack.settings import REPOSITORY

TAG = "millrace:local"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
LIST = (
    'import importlib.metadata as m; print(*sorted({f"{d.name}=={d.version}" for d in m.distributions()}), sep="\\n")'
)


def image(tag: str = TAG, *, engine: str = "", ca: Path | None = None, extra: str = "", python: str = "") -> Engine:
    """Build it from the working folder. Raises StackError where that fails."""
    found = find_engine(engine)
    arguments = build_arguments(ca=ca, extra=extra, python=python)
    done = subprocess.run(found.build(tag, str(REPOSITORY), arguments), env=environment(), check=False)
    if done.returncode:
        raise StackError(f"{found.name} could not build {tag}, see above")
    return found


def run(options: argparse.Namespace) -> int:
    """What the command line asks for."""
    engine = image(options.tag, engine=options.engine, ca=options.ca, extra=options.extra, python=options.python)
    if options.sbom:
        options.sbom.write_text(bill_of_materials(packages(engine, options.tag)))
    size = size_bytes(engine, options.tag)
    print(f"run: {options.tag}" + (f" has {size / 1e6:.0f} MB" if size else ""))
    return 0


def bill_of_materials(listed: str) -> str:
    """CycloneDX's JSON about packages, by its own tool. Raises StackError."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-format", "JSON", "-"]
    done = subprocess.run(command, input=listed, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"cyclonedx-py: {done.stderr.strip()[-500:]}")
    return done.stdout


def build_arguments(*, ca: Path | None = None, extra: str = "", python: str = "") -> dict[str, str]:
    """Those of the Dockerfile, from options, from the clone, and from the caller's environment."""
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    chosen = {
        "PYTHON_VERSION": python,
        "EXTRA_CA": ca.read_text() if ca else "",
        "EXTRA_REQUIREMENTS": extra,
        "VERSION": version,
        "REVISION": _revision(),
        **{name: os.environ.get(name) or os.environ.get(name.lower(), "") for name in PROXIES},
    }
    return {name: value for name, value in chosen.items() if value}


def packages(engine: Engine, tag: str) -> str:
    """The Python packages of an image, one a line, as pip writes them."""
    command = {"docker": ["docker"], "podman": ["podman"]}.get(engine.name)
    if command is None:
        raise StackError("buildah only builds: a list of packages needs docker or podman, which run the image")
    run = [*command, "run", "--rm", "--network", "none", "--entrypoint", "python", tag, "-c", LIST]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{tag} does not run: {done.stderr.strip()[-500:]}")
    return done.stdout


def size_bytes(engine: Engine, tag: str) -> int:
    """What the image takes, all layers."""
    if engine.name == "buildah":
        return 0
    done = subprocess.run(
        [engine.name, "image", "inspect", "--format", "{{.Size}}", tag], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def _revision() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()
