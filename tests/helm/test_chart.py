"""The chart that values.yaml names, rendered with it: what each pod would be."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

import pytest
import yaml

from tests.helm.rendering import HELM, REPOSITORY, VERSION, Manifest, Refused, containers, pods, rendered, values

pytestmark = pytest.mark.chart
IMAGE = "registry.example.com/millrace:2026.11.0"
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
JOBS = {"run-airflow-migrations", "database-cleanup"}
# In any spelling that some version of Airflow reads.
SECRETS = r"SQL_ALCHEMY_CONN|AIRFLOW_CONN_AIRFLOW_DB|FERNET|SECRET_KEY|JWT_SECRET|SUPERUSER|ADMIN_PASSWORD|PAGES|LOGIN"


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return rendered(values())


@pytest.fixture(scope="module")
def made(manifests: list[Manifest]) -> dict[str, Manifest]:
    return pods(manifests)


def test_it_is_the_chart_that_the_values_name(manifests: list[Manifest]) -> None:
    labels = {one["metadata"]["labels"].get("chart", f"airflow-{VERSION}") for one in manifests}
    assert labels == {f"airflow-{VERSION}"}


def test_there_are_our_pods_and_none_of_the_charts_own(made: dict[str, Manifest]) -> None:
    assert set(made) == AIRFLOW | JOBS
    names = {name: [one["name"] for one in containers(pod)] for name, pod in made.items()}
    migrating = {"api-server", "scheduler", "worker"}
    for name in AIRFLOW:
        assert names[name] == [*(["migrate-warehouse"] if name in migrating else []), name], "no wait-for-migrations"
    assert names["run-airflow-migrations"] == ["run-airflow-migrations"]


def test_every_image_is_ours_and_nothing_is_left_of_a_template(
    made: dict[str, Manifest], manifests: list[Manifest]
) -> None:
    for name, pod in made.items():
        assert {one["image"] for one in containers(pod)} == {IMAGE}, name
    assert "{{" not in yaml.safe_dump_all([one for one in manifests if one["kind"] != "ConfigMap"])


def test_a_worker_has_no_way_to_the_metadata_and_no_key(made: dict[str, Manifest]) -> None:
    for one in containers(made["worker"]):
        names = {variable["name"] for variable in one["env"]}
        assert not [name for name in names if re.search(SECRETS, name)]
        assert not one.get("envFrom")
        used = {ref["name"] for variable in one["env"] if (ref := _secret(variable))}
        assert used == {"millrace"}
    mounted = [volume for volume in made["worker"]["spec"]["volumes"] if "secret" in volume]
    assert not mounted
    assert made["worker"]["spec"].get("automountServiceAccountToken") is not True


def test_what_the_others_need_of_it_they_have_once(made: dict[str, Manifest]) -> None:
    for name, pod in made.items():
        for one in containers(pod):
            twice = [key for key, count in Counter(variable["name"] for variable in one["env"]).items() if count > 1]
            assert not twice, f"{name}/{one['name']}"
            places = [mount["mountPath"] for mount in one.get("volumeMounts", [])]
            assert len(places) == len(set(places))
    for name in (*AIRFLOW - {"worker"}, *JOBS):
        (main,) = made[name]["spec"]["containers"]
        found = {variable["name"]: _secret(variable) for variable in main["env"]}
        assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == {"name": "millrace-metadata", "key": "connection"}
    holders = {name for name, pod in made.items() for one in containers(pod) if "SUPERUSER" in str(one["env"])}
    assert holders == {"run-airflow-migrations"}


def test_no_container_is_more_than_a_user_without_rights(made: dict[str, Manifest]) -> None:
    for name, pod in made.items():
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 50000, "runAsGroup": 50000, "fsGroup": 50000,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name  # fmt: skip
        for one in containers(pod):
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert one["resources"]["limits"]["memory"]


def test_each_container_is_told_its_command_and_asked_for_its_health(made: dict[str, Manifest]) -> None:
    for name in AIRFLOW:
        (main,) = made[name]["spec"]["containers"]
        assert main["command"] == ["bash", "-euc"]
        command = name if name != "worker" else "celery worker"
        assert main["args"][0].startswith(f"exec airflow {command}")
        if name != "api-server":  # which the chart asks by HTTP
            assert main["livenessProbe"]["exec"]["command"] == ["python", "-S", "-m", "healthcheck", name]
        else:
            assert main["livenessProbe"]["httpGet"]["path"] == "/api/v2/monitor/health"


def test_what_is_written_is_on_volumes(made: dict[str, Manifest]) -> None:
    for name in AIRFLOW:
        (main,) = made[name]["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in main["volumeMounts"]}
        assert {"/data/inbox", "/scratch", "/data/logs", "/opt/airflow", "/tmp"} <= set(mounts)
        kinds = {volume["name"]: volume for volume in made[name]["spec"]["volumes"]}
        assert kinds[mounts["/opt/airflow"]]["emptyDir"] == {}


def test_tasks_find_the_api_server(made: dict[str, Manifest], manifests: list[Manifest]) -> None:
    (main,) = made["worker"]["spec"]["containers"]
    (url,) = (one["value"] for one in main["env"] if one["name"] == "AIRFLOW__CORE__EXECUTION_API_SERVER_URL")
    (service,) = (
        one for one in manifests if one["kind"] == "Service" and one["metadata"]["name"] == urlsplit(url).hostname
    )
    assert [port["port"] for port in service["spec"]["ports"]] == [urlsplit(url).port]
    assert service["spec"]["selector"].items() <= made["api-server"]["metadata"]["labels"].items()


def test_the_secrets_are_those_of_the_guide(made: dict[str, Manifest]) -> None:
    guide = (REPOSITORY / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()
    told = {
        (name, key)
        for name, keys in re.findall(r"^\| `([\w-]+)` \| (.*?) \| .*?\|$", guide, re.MULTILINE)
        for key in re.findall(r"`([a-z][a-z-]*)`", keys)
    }
    used = {
        (ref["name"], ref["key"])
        for pod in made.values()
        for one in containers(pod)
        for variable in one["env"]
        if (ref := _secret(variable))
    }
    assert used <= told
    assert {name for name, _ in used} == {"millrace", "millrace-metadata", "millrace-core", "millrace-superusers"}


def test_the_examples_meet_what_is_rendered(made: dict[str, Manifest], manifests: list[Manifest]) -> None:
    examples = [*yaml.safe_load_all((HELM / "examples.yaml").read_text())]
    labels = [pod["metadata"]["labels"] for pod in made.values()]
    for policy in (one for one in examples if one["kind"] == "NetworkPolicy"):
        chosen = [
            policy["spec"]["podSelector"]["matchLabels"],
            *(
                peer["podSelector"]["matchLabels"]
                for rule in policy["spec"]["ingress"] + policy["spec"].get("egress", [])
                for peer in rule.get("from", rule.get("to", []))
                if "podSelector" in peer
            ),
        ]
        for selector in chosen:
            assert [one for one in labels if selector.items() <= one.items()], selector
    (monitor,) = (one for one in examples if one["kind"] == "ServiceMonitor")
    (service,) = (
        one
        for one in manifests
        if one["kind"] == "Service"
        and monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    )
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize(("place", "name"), [
    ("scheduler", "waitForMigration"), ("workers", "replica"),
    ("enableBuiltInSecretEnvVars", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"),
])  # fmt: skip
def test_a_name_that_the_chart_does_not_know_is_refused(place: str, name: str) -> None:
    given = values()
    given[place] = {**given[place], name: False}
    with pytest.raises(Refused, match=name):
        rendered(given)


def test_without_its_switches_a_worker_would_have_the_metadata() -> None:
    """So the checks above see what they are there for."""
    given = values()
    del given["enableBuiltInSecretEnvVars"]
    (main,) = pods(rendered(given))["worker"]["spec"]["containers"]
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in {variable["name"] for variable in main["env"]}
    given = values()
    del given["workers"]["celery"]["waitForMigrations"]
    assert "wait-for-airflow-migrations" in {one["name"] for one in containers(pods(rendered(given))["worker"])}


def _secret(variable: Manifest) -> Manifest | None:
    found = variable.get("valueFrom", {}).get("secretKeyRef")
    return {name: value for name, value in found.items() if name != "optional"} if found else None
