"""`./run check` and `./run lock`: every linter in turn, and the hashed locks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stack.errors import StackError
from stack.settings import REPOSITORY

PROGRAMS = Path(sys.executable).parent
# Resolve as of this day: what came later cannot have been tested with this release of Airflow.
AS_OF = "2026-09-18"
LOCKS = {
    "requirements.txt": (),
    "requirements-image.txt": ("-c", "requirements.lock"),
    "requirements-dev.txt": ("-c", "requirements.lock"),
    "requirements-ldap.txt": ("-c", "requirements-image.lock"),
    "requirements-uv.txt": (),
}
JSON_SCHEMA = "check-jsonschema"
# What a file must be: the name of a schema that comes with check-jsonschema, or the file of one of ours.
SCHEMAS = {
    "docker-compose.yaml": "vendor.compose-spec",
    "deploy/*.yaml": "vendor.compose-spec",
    ".github/workflows/*.yaml": "vendor.github-workflows",
    ".github/actions/*/action.yaml": "vendor.github-actions",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
    "include/datasets/*.yaml": "include/datasets/dataset.schema.json",
    "include/images/recipes.yaml": "include/images/recipes.schema.json",
}
CHECKS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("codespell",),
    ("shellcheck", "run", ".ci/run"),
    ("hadolint", "Dockerfile"),
    ("zizmor", "--quiet", "--offline", "--min-severity", "medium", ".github"),
)


def check(arguments: Sequence[str]) -> int:
    """Run all checks, or those whose names are given; print each one's findings; 1 when any has some.

    `.pre-commit-config.yaml` has a hook for each name, so that the list here is the only one.
    """
    failed = []
    for command in all_checks():
        if arguments and command[0] not in arguments:
            continue
        began = time.monotonic()
        done = subprocess.run([PROGRAMS / command[0], *command[1:]], cwd=REPOSITORY, check=False)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"  {_title(command):<58} {verdict} in {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            failed.append(_title(command))
    print(f"check: {'failed: ' + ', '.join(failed) if failed else 'all clean'}")
    return 1 if failed else 0


def lock() -> int:
    """Resolve each requirements file into its lock, for every platform, with hashes."""
    for source, further in LOCKS.items():
        command = [str(PROGRAMS / "uv"), "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-emit-find-links", "--exclude-newer", AS_OF, *further]
        target = source.replace(".txt", ".lock")
        done = subprocess.run([*command, source, "-o", target], cwd=REPOSITORY, check=False)
        if done.returncode:
            return done.returncode
        print(f"  {target}")
    return 0


def all_checks() -> list[tuple[str, ...]]:
    """The commands, each with the files that it reads."""
    return [*CHECKS, *_schema_checks(), ("sqlfluff", "lint", *_files("include/**/*.sql"))]


def _schema_checks() -> list[tuple[str, ...]]:
    ours = sorted({schema for schema in SCHEMAS.values() if not schema.startswith("vendor.")})
    checks = [(JSON_SCHEMA, "--check-metaschema", *ours)]
    for pattern, schema in SCHEMAS.items():
        kind = "--schemafile" if schema in ours else "--builtin-schema"
        checks.append((JSON_SCHEMA, kind, schema, *_files(pattern)))
    return checks


def _files(pattern: str) -> list[str]:
    found = sorted(str(file.relative_to(REPOSITORY)) for file in REPOSITORY.glob(pattern))
    # A tool that is given no file finds nothing wrong, so a pattern that fits none would pass for ever.
    if not found:
        raise StackError(f"nothing to check: no file is named {pattern}")
    return found


def _title(command: Sequence[str]) -> str:
    """The tool and what tells its commands apart."""
    return " ".join([command[0], *(word for word in command[1:3] if not word.endswith(".sql"))])
