"""Which hosts a cluster has: their names, addresses and folders, and each one's environment from the compose file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stack.binaries import find_binaries
from stack.cluster.compose import Service

SUBNET = "10.213"  # in a network namespace of the cluster's own, so it meets no other network
FIRST_ADDRESS = 10
# No copy of the project is made, and its functions are compiled beside their source, once for all hosts. Programs and
# certificates are the machine's.
LEFT_OUT = {
    "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE",
}  # fmt: skip
OWN = {"scratch", "api-scratch"}  # volumes that containers of one machine share, and machines do not


@dataclass(frozen=True)
class Place:
    """Folders of the machine that stand for those of a container: the project, the programs, the cluster's state."""

    repository: Path
    state: Path

    @property
    def volumes(self) -> Path:
        """Named volumes, shared by the hosts."""
        return self.state / "volumes"

    def own(self, host: str) -> Path:
        """What a host has for itself."""
        return self.state / "hosts" / host

    @property
    def logs(self) -> Path:
        """What each host's service says."""
        return self.state / "logs"


@dataclass(frozen=True)
class Host:
    """One host. `addresses` is network to address; `folders` is a container's path to the machine's."""

    name: str
    service: Service
    addresses: dict[str, str]
    folders: dict[str, str]
    environment: dict[str, str]
    working_dir: str


def lay_out(services: Sequence[Service], place: Place, replicas: Mapping[str, int] | None = None) -> list[Host]:
    """The hosts of all services, in the file's order. `replicas` overrides the file's numbers."""
    networks = list(dict.fromkeys(network for service in services for network in service.networks))
    hosts: list[Host] = []
    for service in services:
        count = (replicas or {}).get(service.name, service.replicas)
        scaled = service.replicas != 1 or count != 1
        for number in range(1, count + 1):
            name = f"{service.name}-{number}" if scaled else service.hostname
            hosts.append(_host(name, service, place, _addresses(service, networks, len(hosts))))
    return hosts


def hosts_file(host: Host, hosts: Iterable[Host]) -> str:
    """The text of `/etc/hosts` on a host: itself, and who shares a network with it, by host and service name."""
    lines = ["127.0.0.1 localhost"]
    for other in sorted(hosts, key=lambda one: one.name != host.name):
        shared = [network for network in other.addresses if network in host.addresses]
        if shared:
            names = dict.fromkeys([other.name, other.service.name])
            lines.append(f"{other.addresses[shared[0]]} {' '.join(names)}")
    return "\n".join(lines) + "\n"


def _addresses(service: Service, networks: Sequence[str], index: int) -> dict[str, str]:
    return {name: f"{SUBNET}.{networks.index(name)}.{FIRST_ADDRESS + index}" for name in service.networks}


def _host(name: str, service: Service, place: Place, addresses: dict[str, str]) -> Host:
    folders = _folders(name, service, place)
    host = Host(name, service, addresses, folders, {}, _moved(service.working_dir, folders) or str(place.own(name)))
    return replace(host, environment=_environment(host, place))


def _folders(name: str, service: Service, place: Place) -> dict[str, str]:
    """A named volume is a folder that hosts share; scratch, the home and what is in memory are the host's own."""
    found = {"/opt/airflow": str(place.own(name) / "home")} if service.built else {}
    for target in service.tmpfs:
        if target != "/tmp":  # which is the machine's
            found.setdefault(target, str(place.own(name) / target.lstrip("/")))
    for volume in service.volumes:
        source, _, target = volume.removesuffix(":ro").rpartition(":")
        if source.startswith(("/", "./")):  # a folder or file of the machine
            found[target] = str(place.repository / source)
        else:
            found[target] = str(place.own(name) / target.lstrip("/") if source in OWN else place.volumes / source)
    return found


def _environment(host: Host, place: Place) -> dict[str, str]:
    """The service's own, its paths being those of this machine, and nothing of the caller's."""
    programs = os.pathsep.join([str(find_binaries()), os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")])
    moves = {
        **host.folders,
        "/opt/project": str(place.repository),
        "/opt/millrace/bin": str(Path(sys.executable).parent),
    }
    moved = {
        name: os.pathsep.join(_moved(part, moves) for part in value.split(os.pathsep))
        for name, value in host.service.environment.items()
        if name not in LEFT_OUT
    }
    path = moved.get("PATH", "$PATH").replace("$PATH", programs)
    return {"HOME": str(place.own(host.name)), "LANG": "C.UTF-8", **moved, "PATH": path}


def _moved(path: str, moves: Mapping[str, str]) -> str:
    for inside, outside in moves.items():
        if path == inside or path.startswith(f"{inside}/"):
            return outside + path.removeprefix(inside)
    return path
