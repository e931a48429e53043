"""`./run compose-test`: images, then the deployment through its life, each step with its seconds."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from stack.errors import StackError
from stack.image.command import image, size_bytes
from stack.settings import state_folder
from stack.trial import bases, checks
from stack.trial.deployment import Deployment
from stack.trial.engine import docker

TAG, NEXT = "millrace:trial", "millrace:trial-next"
STEPS: dict[str, checks.Check] = {
    "ingest": checks.ingest, "correction": checks.correction, "picture": checks.picture, "audit": checks.audit,
    "rights": checks.try_rights, "login": checks.try_login, "scale": checks.scale,
    "upgrade": partial(checks.upgrade, image=NEXT), "restore": checks.restore, "down": checks.gone,
}  # fmt: skip
BY_TLS: dict[str, checks.Check] = {
    "ingest": checks.ingest, "correction": checks.correction, "picture": checks.picture, "audit": checks.audit,
    "tls": checks.try_tls, "down": checks.gone,
}  # fmt: skip
MOST_BYTES = 900_000_000
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")  # of this machine, which builds have to trust, too


def compose_test(*, keep: bool = False, tls: bool = False) -> int:
    """Run it all; the exit code is the outcome. `keep` leaves the deployment up where something failed.

    `tls` runs less of it, with TLS between the services and the proxy in front.
    """
    folder = state_folder().resolve() / "trial"
    folder.mkdir(parents=True, exist_ok=True)
    with docker(folder) as environment, tempfile.TemporaryDirectory(dir=folder) as work:
        os.environ.update({name: environment[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG") if name in environment})
        _step("bases", lambda: _bases(environment, folder, (*bases.BASES, bases.PROXY) if tls else bases.BASES))
        _step("image", lambda: _images(Path(work)))
        place = Deployment(environment, folder, TAG, tls=tls)
        place.remove()  # what a trial that was killed left
        try:
            _live(place, Path(work), BY_TLS if tls else STEPS)
        except StackError:
            print(place.logs(), flush=True)
            if not keep:
                place.remove()
            raise
    return 0


def _live(place: Deployment, work: Path, steps: Mapping[str, checks.Check]) -> None:
    _step("up", partial(_up, place))
    for name, check in steps.items():
        _step(name, partial(check, place, work))


def _up(place: Deployment) -> str:
    place.up()
    return f"{len(place.containers()) - 1} containers are healthy"


def _step(name: str, does: Callable[[], str]) -> None:
    began = time.monotonic()
    said = does()
    print(f"  {name:<10} {time.monotonic() - began:5.0f} s  {said}", flush=True)


def _bases(environment: dict[str, str], folder: Path, tags: Sequence[str]) -> str:
    bases.plugins(environment, folder)
    bases.make(environment, folder, tags)
    return ", ".join(tags)


def _images(work: Path) -> str:
    """The image of this clone, and one that differs by a label only."""
    certificates = work / "extra.crt"
    certificates.write_text("".join(file.read_text() for file in sorted(OWN_CERTIFICATES.glob("*.crt"))))
    engine = image(TAG, engine="docker", ca=certificates, python=bases.PYTHON)
    (work / "Dockerfile").write_text(f"FROM {TAG}\nLABEL trial=next\n")
    subprocess.run(["docker", "build", "--quiet", "--tag", NEXT, work], check=True, capture_output=True)
    size = size_bytes(engine, TAG)
    if size > MOST_BYTES:
        raise StackError(f"the image has {size / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}")
    return f"{size / 1e6:.0f} MB"
