"""docker-compose.yaml as the one source: what it promises, and that the hosts of `./run cluster` are made of it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import secrets_file
from stack.cluster.compose import Service, fill, read_image, read_services
from stack.cluster.topology import LEFT_OUT, Host, Place, hosts_file, lay_out
from stack.errors import StackError

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yaml"
SECRETS = {name: f"secret-{name.lower()}" for name in secrets_file.MADE}
BUILT_IN = {  # variables that the chart takes from secrets of its own
    "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW_CONN_AIRFLOW_DB",
    "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__WEBSERVER__SECRET_KEY",
    "AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__ELASTICSEARCH__HOST",
    "AIRFLOW__OPENSEARCH__HOST",
}  # fmt: skip
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}


@pytest.fixture
def raw() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


@pytest.fixture
def services() -> dict[str, Service]:
    return {service.name: service for service in read_services(COMPOSE, SECRETS)}


@pytest.fixture
def hosts(tmp_path: Path) -> dict[str, Host]:
    found = lay_out(read_services(COMPOSE, SECRETS), Place(REPOSITORY, tmp_path), {"worker": 3})
    return {host.name: host for host in found}


def test_every_secret_is_required_and_made_and_in_the_example() -> None:
    text = COMPOSE.read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(secrets_file.MADE)
    assert set(secrets_file.read(REPOSITORY / ".env.example")) == set(secrets_file.MADE)
    for name in SECRETS:
        with pytest.raises(StackError, match=f"{name} is not set: make it by ./run secrets"):
            read_services(COMPOSE, {**SECRETS, name: ""})
    assert not re.search(r"(PASSWORD|SECRET|KEY)[^\n]*:-", text), "no default"


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nADMIN_PASSWORD=chosen\nJWT_SECRET=\nAPI_PORT=9000\n")
    assert set(secrets_file.complete(file)) == set(secrets_file.MADE) - {"ADMIN_PASSWORD"}
    first = secrets_file.read(file)
    assert secrets_file.complete(file) == []
    assert secrets_file.read(file) == first
    assert first["ADMIN_PASSWORD"] == "chosen"
    assert first["API_PORT"] == "9000"
    assert "# mine\n" in file.read_text()
    assert len(first["JWT_SECRET"]) >= 64
    assert len({first[name] for name in secrets_file.MADE}) == len(secrets_file.MADE)
    assert all(re.fullmatch(r"[\w=-]+", first[name]) for name in secrets_file.MADE)
    assert file.stat().st_mode & 0o077 == 0


def test_workers_know_nothing_of_the_metadata(services: dict[str, Service]) -> None:
    metadata = {"metadata_superuser_password", "airflow_db_password", "jwt_secret", "fernet_key", "api_secret_key"}
    known = " ".join(services["worker"].environment.values())
    assert not [name for name in metadata if f"secret-{name}" in known]
    assert "metadata" not in known
    assert services["worker"].networks == ["work"]
    assert services["metadata-db"].networks == ["metadata"]


def test_only_init_knows_the_superusers(services: dict[str, Service]) -> None:
    for service in services.values():
        if service.name not in ("init", "metadata-db", "warehouse-db"):
            assert "superuser" not in " ".join(service.environment.values())


def test_only_the_login_knows_the_login(services: dict[str, Service]) -> None:
    """The server that asks for passwords has none of its own; `init` enters the first."""
    knows = {name: {one.name for one in services.values() if name in one.environment} for name in (
        "ADMIN_PASSWORD", "MILLRACE_LOGIN", "AIRFLOW__FAB__CONFIG_FILE", "AIRFLOW__CORE__AUTH_MANAGER",
    )}  # fmt: skip
    assert knows == {
        "ADMIN_PASSWORD": {"init"},
        "MILLRACE_LOGIN": {"init", "api-server"},
        "AIRFLOW__FAB__CONFIG_FILE": {"init", "api-server"},
        "AIRFLOW__CORE__AUTH_MANAGER": {"init", "api-server", "scheduler", "dag-processor", "triggerer", "cleaner"},
    }
    assert _is_installed(services["api-server"].environment["AIRFLOW__CORE__AUTH_MANAGER"])
    file = services["init"].environment["AIRFLOW__FAB__CONFIG_FILE"].replace("/opt/project", str(REPOSITORY))
    assert Path(file).is_file()


def test_each_service_has_its_limits(raw: dict[str, Any]) -> None:
    for name, service in raw["services"].items():
        assert service["mem_limit"]
        assert service["stop_grace_period"]
        assert name in ("init", "flower") or service["healthcheck"]["test"]
        assert all(port.startswith("${BIND:-127.0.0.1}:") for port in service.get("ports", []))
        if service["image"] == raw["x-airflow"]["image"]:
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
    assert "USER 50000" in (REPOSITORY / "Dockerfile").read_text()


def test_one_service_builds_the_image_that_all_of_airflow_have(raw: dict[str, Any]) -> None:
    assert [name for name, service in raw["services"].items() if "build" in service] == ["init"]
    ours = {name for name, service in raw["services"].items() if service["image"] == raw["x-airflow"]["image"]}
    assert ours == {*AIRFLOW, "init", "cleaner", "flower"}


def test_what_is_written_has_a_name_and_no_option_that_podman_refuses(raw: dict[str, Any]) -> None:
    for service in raw["services"].values():
        mounts = fill(service.get("volumes", []), {})
        assert all(":" in mount for mount in mounts), "a volume without a name stays when its container goes"
        assert all(mount.split(":")[0] in raw["volumes"] for mount in mounts if not mount.startswith("./"))
        assert all(":" not in mount for mount in service.get("tmpfs", [])), "Podman knows no uid there"


def test_nothing_that_is_unpickled_can_be_written(raw: dict[str, Any], services: dict[str, Service]) -> None:
    folder = services["worker"].environment["NUMBA_CACHE_DIR"]
    for name in (*AIRFLOW, "init"):
        written = [mount.split(":")[1] for mount in raw["services"][name]["volumes"]] + raw["services"][name]["tmpfs"]
        assert not [mount for mount in written if folder.startswith(mount)]
    values = yaml.safe_load((REPOSITORY / "deploy" / "helm" / "values.yaml").read_text())
    assert not [one for one in values["volumeMounts"] if folder.startswith(one["mountPath"])]


def test_a_worker_shares_no_scratch_folder_with_what_holds_secrets(raw: dict[str, Any]) -> None:
    users = {name for name, one in raw["services"].items() if "scratch:/scratch" in one.get("volumes", [])}
    assert users == {"worker"}


def test_hosts_have_the_environment_of_their_service(services: dict[str, Service], hosts: dict[str, Host]) -> None:
    assert set(hosts) == {*services} - {"worker"} | {"worker-1", "worker-2", "worker-3"}
    for host in hosts.values():
        for name, value in services[host.service.name].environment.items():
            if name in LEFT_OUT or name == "PATH":
                continue
            back = host.environment[name].replace(str(REPOSITORY), "/opt/project")
            for inside, outside in host.folders.items():
                back = back.replace(outside, inside)
            assert back == value, f"{name} on {host.name}"


def test_hosts_share_volumes_and_have_the_rest_for_themselves(hosts: dict[str, Host]) -> None:
    one, two = hosts["worker-1"], hosts["worker-2"]
    differ = {name for name in one.environment if one.environment[name] != two.environment[name]}
    assert differ == {
        "HOME", "AIRFLOW_HOME", "TMPDIR", "MILLRACE_SCRATCH", "MILLRACE_MEMORY_FOLDER",
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY",
    }  # fmt: skip
    assert one.environment["MILLRACE_INBOX"] == hosts["scheduler"].environment["MILLRACE_INBOX"]


def test_a_host_knows_the_names_of_its_own_networks(hosts: dict[str, Host]) -> None:
    names = hosts_file(hosts["worker-2"], hosts.values())
    assert names.splitlines()[1].endswith(" worker-2 worker"), "itself first, as its full name"
    assert "warehouse-db" in names
    assert "metadata-db" not in names
    assert "metadata-db" in hosts_file(hosts["scheduler"], hosts.values())
    addresses = [address for host in hosts.values() for address in host.addresses.values()]
    assert len(set(addresses)) == len(addresses)


def test_nothing_of_the_caller_gets_in(hosts: dict[str, Host], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    monkeypatch.setenv("PGHOST", "elsewhere")
    again = lay_out(read_services(COMPOSE, SECRETS), Place(REPOSITORY, tmp_path), {"worker": 3})
    assert {host.name: host.environment for host in again} == {name: host.environment for name, host in hosts.items()}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "one"),
        ("${NONE}", ""),
        ("${NONE:-x:y}", "x:y"),
        ("${EMPTY:-d}", "d"),
        ("${A:-d}", "one"),
        ("${NONE:-http://h:${A:-2}}", "http://h:one"),
        ("$$A $${A} ${A}", "$A ${A} one"),
        ("${A:?why}", "one"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert fill({"x": [text]}, {"A": "one", "EMPTY": ""}) == {"x": [filled]}


def test_the_image_says_its_environment() -> None:
    image = read_image(REPOSITORY / "Dockerfile")
    assert image.entrypoint == ["airflow"]
    assert image.environment["PYTHONPATH"] == "/opt/project:/opt/project/config"


def test_profiles_are_left_out_unless_asked_for() -> None:
    assert "flower" not in {one.name for one in read_services(COMPOSE, SECRETS)}
    assert "flower" in {one.name for one in read_services(COMPOSE, SECRETS, frozenset({"flower"}))}


def test_each_component_of_airflow_is_there(services: dict[str, Service]) -> None:
    assert {*services} >= AIRFLOW
    assert all(services[name].depends_on["init"] == "service_completed_successfully" for name in AIRFLOW)
    assert "api-server" in services["worker"].depends_on, "so that workers stop first"
    assert services["worker"].replicas == 2
    assert services["worker"].grace_seconds == 300


def test_monitoring_is_pinned_locked_and_has_its_files(raw: dict[str, Any]) -> None:
    for name in ("prometheus", "grafana"):
        service = raw["services"][name]
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["networks"] == ["work"]
        mounted = [volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./")]
        assert mounted
        assert all((REPOSITORY / path).exists() for path in mounted)


def _is_installed(name: str) -> bool:
    """Whether there is a class of Airflow of that name; Airflow itself is not imported."""
    spec, (*folders, module, kind) = find_spec("airflow"), name.split(".")[1:]
    assert spec is not None
    assert spec.origin is not None
    return f"class {kind}" in Path(spec.origin).parent.joinpath(*folders, f"{module}.py").read_text()


def test_helm_values_have_the_same_environment(raw: dict[str, Any]) -> None:
    values = yaml.safe_load((REPOSITORY / "deploy" / "helm" / "values.yaml").read_text())

    def names(component: str) -> set[str]:
        return {one["name"] for one in values[component]["env"]}

    everybody = {one["name"] for one in values["env"]} | {one["envName"] for one in values["secret"]}
    assert everybody == set(raw["x-environment"])
    core = set(raw["x-core-environment"]) - set(raw["x-environment"])
    assert all(names(component) == core for component in ("scheduler", "dagProcessor", "triggerer"))
    assert everybody | names("apiServer") == set(raw["services"]["api-server"]["environment"]) | {
        "AIRFLOW_CONN_STORAGE"
    }
    assert names("migrateDatabaseJob") <= set(raw["services"]["init"]["environment"])
    assert names("migrateDatabaseJob") >= set(raw["services"]["init"]["environment"]) - core - set(raw["x-environment"])
    assert set(values["workers"]) == {"celery"}
    assert "env" not in values["workers"]["celery"]
    assert _is_installed(values["config"]["core"]["auth_manager"]), "the chart's own is not in the image"
    assert set(values["enableBuiltInSecretEnvVars"]) <= BUILT_IN, "the chart's schema refuses any other"
    plain = {one["name"]: one["value"] for one in values["env"]}
    fixed = {name: value for name, value in raw["x-environment"].items() if "$" not in value and "//" not in value}
    assert {name: plain[name] for name in fixed} == fixed


def test_a_further_file_is_laid_over_the_first(services: dict[str, Service], tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text(
        "services: {worker: {command: [celery, flower], environment: {MILLRACE_INBOX: /in, MORE: '$${X}'}}}"
    )
    found = {service.name: service for service in read_services(COMPOSE, SECRETS, over=[over])}
    before, after = services.pop("worker"), found.pop("worker")
    assert found == services
    assert after.command == ["airflow", "celery", "flower"]
    assert after.environment == {**before.environment, "MILLRACE_INBOX": "/in", "MORE": "${X}"}
