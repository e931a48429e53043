"""The first process of a cluster: `python -m stack.cluster.supervisor`, in namespaces that hold the hosts' own.

It starts each host once those that it depends on are ready, as the compose file says, and ends all of them in the
opposite order when its standard input ends. Killed, it takes everything with it.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from stack.cluster import plan
from stack.cluster.limits import Limits
from stack.cluster.services import Spec
from stack.cluster.switch import Switch
from stack.cluster.topology import Host, Place, hosts_file
from stack.errors import StackError

CONDITIONS = {
    "service_healthy": {"healthy"},
    "service_started": {"started", "healthy", "restarted"},
    "service_completed_successfully": {"ended 0"},
}
NAMESPACES = ["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
KILL_AFTER_SECONDS = 10.0  # beyond the grace of the service, which its host keeps itself


class Member:
    """A host that runs, and the last word that it said."""

    def __init__(self, host: Host, place: Place, handles: Sequence[int], limits: Limits) -> None:
        self.host = host
        self.state = "new"
        self.began = time.monotonic()
        self._log = place.logs / f"{host.name}.log"
        command = [*NAMESPACES, sys.executable, "-m", "stack.cluster.host", host.name, str(place.state)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                limits.enclose(host.name, host.service.memory_bytes, command),
                cwd=place.repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, pass_fds=handles,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input, self.output = self._process.stdin, self._process.stdout
        self.hear()  # `here`: the namespaces are made

    @property
    def ready(self) -> bool:
        """Whether it is what the others wait for."""
        service = self.host.service
        unchecked = self.state in ("started", "restarted") and service.restarts and not service.health
        return unchecked or self.state in ("healthy", "ended 0")

    def hear(self) -> str:
        """The next word; empty when the host is gone."""
        word: str = self.output.readline().decode().strip()  # no buffer, which select() would not see
        if not word and self.state != "ended 0":
            raise StackError(f"{self.host.name} failed ({self.state}), see {self._log}")
        self.state = word or self.state
        if word == "restarted":
            self.began = time.monotonic()
        return word

    def instruct(self, switch: Switch, hosts: Sequence[Host], ports: Sequence[tuple[int, int]]) -> None:
        """Plug its cables in and tell it what to run."""
        host = self.host
        service = host.service
        spec = Spec(
            name=host.name, image=service.image, command=service.command, environment=host.environment,
            working_dir=host.working_dir, folders=[*host.folders.values()], hosts_file=hosts_file(host, hosts),
            links=switch.plug(self._process.pid, host.addresses), ports=list(ports), health=service.health,
            restarts=service.restarts, grace_seconds=service.grace_seconds, log=str(self._log),
        )  # fmt: skip
        self.input.write(json.dumps(asdict(spec)).encode() + b"\n")

    def close(self) -> None:
        """Tell it to stop."""
        self.input.close()

    def await_end(self) -> None:
        """Wait until it has, and kill it some seconds after its grace is over."""
        try:
            self._process.wait(self.host.service.grace_seconds + KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Supervisor:
    """All hosts. `listening` is service to (listening socket, port of the service)."""

    def __init__(self, hosts: Sequence[Host], place: Place, listening: dict[str, list[tuple[int, int]]]) -> None:
        self.hosts = hosts
        self.place = place
        self.listening = listening
        self.members: list[Member] = []
        self._switch = Switch(list(dict.fromkeys(network for host in hosts for network in host.addresses)))
        self._limits = Limits(place.state)
        self._announced = False

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            for host in self._next():
                self._start(host)
            self._announce()
            outputs = {member.output: member for member in self.members if member.state != "ended 0"}
            for stream in select.select([sys.stdin, *outputs], [], [])[0]:
                if stream is sys.stdin:
                    return
                self._listen(outputs[stream])

    def stop(self) -> None:
        """End those first that nobody depends on."""
        left = list(self.members)
        while left:
            needed = {name for member in left for name in member.host.service.depends_on}
            last = [member for member in left if member.host.service.name not in needed]
            for member in last:
                member.close()
            for member in last:
                member.await_end()
            left = [member for member in left if member not in last]
        self._limits.close()

    def _next(self) -> list[Host]:
        """Hosts that are not started and whose dependencies are as they should be."""
        started = {member.host.name for member in self.members}
        return [host for host in self.hosts if host.name not in started and self._may_start(host)]

    def _may_start(self, host: Host) -> bool:
        return all(
            member.state in CONDITIONS[condition]
            for name, condition in host.service.depends_on.items()
            for member in self._of(name)
        )

    def _of(self, service: str) -> list[Member | Missing]:
        found = [member for member in self.members if member.host.service.name == service]
        return [*found] or [Missing()]

    def _start(self, host: Host) -> None:
        ports = self.listening.get(host.service.name, [])
        member = Member(host, self.place, [handle for handle, _ in ports], self._limits)
        self.members.append(member)
        member.instruct(self._switch, self.hosts, ports)

    def _listen(self, member: Member) -> None:
        before = member.ready
        word = member.hear()
        if word.startswith("ended") and word != "ended 0":
            raise StackError(f"{member.host.name} failed ({word}), see {self.place.logs / member.host.name}.log")
        if member.ready and not before:
            took = time.monotonic() - member.began
            print(f"  {member.host.name:<15} {_where(member.host):<13} ready after {took:.1f} s", flush=True)

    def _announce(self) -> None:
        if not self._announced and len(self.members) == len(self.hosts) and all(one.ready for one in self.members):
            self._announced = True
            (self.place.state / "ready").touch()
            if self._limits.fault:
                print(f"  memory is not limited here: {self._limits.fault}", flush=True)
            print(f"  {_login(self.hosts)}; Ctrl-C or ./run cluster --down ends it", flush=True)


class Missing:
    """Stands for a host that was not started yet."""

    state = "missing"


def _login(hosts: Sequence[Host]) -> str:
    """Where the page is, and the password that `init` gave its user."""
    named = {host.name: host for host in hosts}
    password = named["init"].environment["ADMIN_PASSWORD"]
    return f"page http://127.0.0.1:{next(iter(named['api-server'].service.ports))}, login admin / {password}"


def _where(host: Host) -> str:
    return next(iter(host.addresses.values()))


def supervise(hosts: Sequence[Host], place: Place, listening: dict[str, list[tuple[int, int]]]) -> int:
    """Run the cluster; 1 when a host failed."""
    supervisor = Supervisor(hosts, place, listening)
    try:
        supervisor.run()
    except StackError as fault:
        print(f"run: {fault}", file=sys.stderr, flush=True)
        return 1
    finally:
        (place.state / "ready").unlink(missing_ok=True)
        supervisor.stop()
    return 0


def main() -> int:
    """Read from the first line of standard input what the command has prepared, and run."""
    order = json.loads(sys.stdin.readline())
    place = plan.place()
    listening = {name: [(handle, port) for handle, port in pairs] for name, pairs in order["listening"].items()}
    return supervise(plan.hosts_of(place, order["workers"]), place, listening)


if __name__ == "__main__":
    sys.exit(main())
