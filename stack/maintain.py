"""`./run check` and `./run lock`: every linter in turn, and the hashed locks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stack.settings import REPOSITORY

PROGRAMS = Path(sys.executable).parent
# Resolve as of this day: what came later cannot have been tested with this release of Airflow.
AS_OF = "2026-09-18"
LOCKS = {
    "requirements.txt": (),
    "requirements-dev.txt": ("-c", "requirements.lock"),
    "requirements-uv.txt": (),
}
CHECKS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "."),
    ("mypy",),
    ("shellcheck", "run", ".ci/run"),
    ("hadolint", "Dockerfile"),
    ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yaml"),
)


def check(arguments: Sequence[str]) -> int:
    """Run all checks, or those whose names are given; print each one's findings; 1 when any has some."""
    failed = []
    for command in _all_checks():
        if arguments and command[0] not in arguments:
            continue
        began = time.monotonic()
        done = subprocess.run([PROGRAMS / command[0], *command[1:]], cwd=REPOSITORY, check=False)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"  {command[0]:<17} {verdict} in {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            failed.append(command[0])
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


def _all_checks() -> list[tuple[str, ...]]:
    scripts = sorted(path for folder in ("include", "stack") for path in (REPOSITORY / folder).rglob("*.sql"))
    sql = ("sqlfluff", "lint", *(str(path.relative_to(REPOSITORY)) for path in scripts))
    return [*CHECKS, sql] if scripts else list(CHECKS)
