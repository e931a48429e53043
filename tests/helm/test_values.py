"""deploy/helm/values.yaml and examples.yaml as far as they can be judged without the chart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm import rendering
from tests.helm.rendering import HELM, REPOSITORY, VERSION, values

# What may stand where, in the schema of the chart's values: names alone, for each place of ours that it describes.
NAMES: dict[str, list[str]] = json.loads(rendering.NAMES.read_text())
GUIDE = (REPOSITORY / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()


def unknown(given: Any, place: str = "") -> Iterator[str]:
    """Names that the chart does not know."""
    if not isinstance(given, dict) or place not in NAMES:
        return
    for name, value in given.items():
        here = f"{place}.{name}".strip(".")
        if name not in NAMES[place]:
            yield here
        yield from unknown(value, here)


def test_the_chart_knows_each_name() -> None:
    assert not [*unknown(values())]


@pytest.mark.parametrize(
    "place", [("apiserver",), ("scheduler", "waitForMigration"), ("workers", "celery", "waitForMigration")]
)
def test_a_wrong_name_is_seen(place: tuple[str, ...]) -> None:
    given = values()
    *folders, name = place
    inner = given
    for folder in folders:
        inner = inner[folder]
    inner[name] = {}
    assert [*unknown(given)] == [".".join(place)]


@pytest.mark.chart
def test_the_names_are_those_of_its_schema() -> None:
    assert rendering.names() == NAMES, "python -m tests.helm.rendering writes them"


def test_one_version_is_named_everywhere() -> None:
    assert {*re.findall(r"\b1\.2\d\.\d\b", GUIDE)} == {VERSION}
    assert f"--version {VERSION}" in GUIDE


def test_every_container_of_ours_has_the_image_of_the_release() -> None:
    """By a template, or by its name; but never by another tag than the one that is set above."""
    given = values()
    whole = f"{given['defaultAirflowRepository']}:{given['defaultAirflowTag']}"
    template = "{{ .Values.defaultAirflowRepository }}:{{ .Values.defaultAirflowTag }}"
    parts = (given["scheduler"], given["apiServer"], given["workers"]["celery"])
    found = {container["image"] for part in parts for container in part["extraInitContainers"]}
    assert found <= {whole, template}


def test_what_is_switched_off_for_workers_is_given_to_those_that_need_it() -> None:
    given = values()
    switched = {name for name, on in given["enableBuiltInSecretEnvVars"].items() if not on}
    everybody = {one["name"] for one in given["env"]} | {one["envName"] for one in given["secret"]}
    for part in ("scheduler", "apiServer", "dagProcessor", "triggerer"):
        own = {one["name"] for one in given[part]["env"]}
        assert switched <= own | everybody | {"AIRFLOW_CONN_AIRFLOW_DB"}, part
        assert not own & everybody, "a variable that a container has twice is the cluster's guess"
    for part in ("migrateDatabaseJob", "databaseCleanup"):
        assert not {one["name"] for one in given[part]["env"]} & everybody
    assert given["workers"]["celery"]["waitForMigrations"] == {"enabled": False}, "it would ask the metadata"


def test_the_examples_name_what_there_is() -> None:
    examples = [*yaml.safe_load_all((HELM / "examples.yaml").read_text())]
    assert {one["kind"] for one in examples} == {"NetworkPolicy", "ServiceMonitor", "ExternalSecret"}
    text = (HELM / "values.yaml").read_text()
    (secret,) = (one for one in examples if one["kind"] == "ExternalSecret")
    keys = {one["secretKey"] for one in secret["spec"]["data"]}
    assert keys == {key for key in re.findall(r"name: millrace-core, key: ([\w-]+)", text) if key != "login"}
    (monitor,) = (one for one in examples if one["kind"] == "ServiceMonitor")
    prometheus = yaml.safe_load((REPOSITORY / "deploy" / "monitoring" / "prometheus.yml").read_text())
    (endpoint,), (job,) = monitor["spec"]["endpoints"], prometheus["scrape_configs"]
    assert (endpoint["path"], endpoint["interval"]) == (job["metrics_path"], prometheus["global"]["scrape_interval"])
    (worker,) = (one for one in examples if one["metadata"]["name"] == "millrace-worker")
    ports = {port["port"] for rule in worker["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 8080, 5432, 6379, 443}
