"""What Helm makes of the official chart and deploy/helm/values.yaml, by the program `helm` or by its SDK for Python.

$MILLRACE_CHART is the chart of the version that values.yaml names, packed or unpacked: the file that
`helm pull airflow --repo https://airflow.apache.org --version 1.22.0` leaves. `python -m tests.helm.rendering` writes
the names of its schema anew, for another version.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
HELM = REPOSITORY / "deploy" / "helm"
CHART = "MILLRACE_CHART"
NAME = "millrace"
(VERSION,) = re.findall(r"apache-airflow/airflow (\d+\.\d+\.\d+)", (HELM / "values.yaml").read_text())
NAMES = Path(__file__).with_name(f"names-{VERSION}.json")

Values = dict[str, Any]
Manifest = dict[str, Any]


class Refused(Exception):
    """Helm does not take the values."""


def missing() -> str:
    """What to do so that there is something to render with; empty where nothing is missing."""
    wanted = []
    if not os.environ.get(CHART):
        wanted.append(f"{CHART}=airflow-{VERSION}.tgz, the official chart")
    if not shutil.which("helm") and not find_spec("helm_python"):
        wanted.append("helm, or pip install helm-python-sdk")
    return " and ".join(wanted)


def values() -> Values:
    """Ours."""
    return dict(yaml.safe_load((HELM / "values.yaml").read_text()))


def rendered(given: Values) -> list[Manifest]:
    """All manifests. Raises Refused."""
    return [dict(one) for one in yaml.safe_load_all(_text(json.dumps(given))) if one]


@cache
def _text(given: str) -> str:
    return _by_program(given) if shutil.which("helm") else _by_sdk(json.loads(given))


def _by_program(given: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(given)
        file.flush()
        command = ["helm", "template", NAME, os.environ[CHART], "--namespace", NAME, "--values", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def _by_sdk(given: Values) -> str:
    import helm_python

    try:
        chart = helm_python.Chart.load(os.environ[CHART])
        found = chart.render(given, name=NAME, namespace=NAME)
    except helm_python.HelmError as fault:
        raise Refused(str(fault)) from fault
    return "\n---\n".join(text for file, text in found.items() if file.endswith((".yaml", ".yml")))


def names() -> dict[str, list[str]]:
    """For each place of our values that the chart's schema describes, the names that may stand there."""
    found: dict[str, list[str]] = {}

    def look(given: Any, schema: dict[str, Any], place: str) -> None:
        if isinstance(given, dict) and (known := schema.get("properties")):
            found[place] = sorted(known)
            for name, value in given.items():
                look(value, known.get(name, {}), f"{place}.{name}".strip("."))

    look(values(), json.loads(_schema(Path(os.environ[CHART]))), "")
    return found


def _schema(chart: Path) -> bytes:
    if chart.is_dir():
        return (chart / "values.schema.json").read_bytes()
    with tarfile.open(chart) as packed:
        file = packed.extractfile("airflow/values.schema.json")
        assert file is not None
        return file.read()


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each pod, by the name of what makes it."""
    found = {}
    for one in manifests:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if isinstance(spec.get("template"), dict) and "containers" in spec["template"].get("spec", {}):
            found[one["metadata"]["name"].removeprefix(f"{NAME}-")] = spec["template"]
    return found


def containers(pod: Manifest) -> list[Manifest]:
    """All of a pod, also those that come first."""
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


if __name__ == "__main__":
    lines = ",\n".join(f"  {json.dumps(place)}: {json.dumps(known)}" for place, known in names().items())
    NAMES.write_text(f"{{\n{lines}\n}}\n")
