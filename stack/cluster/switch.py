"""The cluster's network: a bridge for each network of the compose file, in the supervisor's own network namespace.

The machine's network is not touched: there is no route from it or to it, and all of this goes with the namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

PREFIX = 24


class Switch:
    """The bridges, and the cables plugged in so far."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._bridges = {name: f"br{number}" for number, name in enumerate(networks)}
        self._cables = 0
        for bridge in self._bridges.values():
            _ip(f"link add {bridge} type bridge", f"link set {bridge} up")

    def plug(self, pid: int, addresses: dict[str, str]) -> list[tuple[str, str]]:
        """Cables from a process's network namespace to its networks: interface there, and the address it is to have."""
        links = []
        for number, (network, address) in enumerate(addresses.items()):
            self._cables += 1
            here, there = f"cable{self._cables}", f"eth{number}"
            _ip(
                f"link add {here} type veth peer name {there} netns {pid}",
                f"link set {here} master {self._bridges[network]} up",
            )
            links.append((there, f"{address}/{PREFIX}"))
        return links


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
