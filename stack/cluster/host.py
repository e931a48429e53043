"""The first process of a host: `python -m stack.cluster.host <name> <state folder>`, in namespaces of its own.

The supervisor writes a line of JSON, a `Spec`, to its standard input, and reads words from its standard output:
`here`, `started`, `healthy`, `restarted`, `ended <exit code>`. When its input ends, it ends the service and itself, and
the kernel ends whatever is left on the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

from stack.cluster.forward import forward
from stack.cluster.services import Running, Spec, now, pause, restart, start, well

LOOK_SECONDS = 0.25
CHECK_EVERY_SECONDS = 1.0
SETTLED_SECONDS = 10.0  # a service that has run for so long is started again without a long pause


def main() -> None:
    """Set the host up, run its service, stop when told so."""
    _say("here")
    line = sys.stdin.readline()
    if line:
        spec = Spec.of(json.loads(line))
        _set_up(spec)
        Host(spec).run()


class Host:
    """The service's life: started, looked after, started again, ended."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._healthy = not spec.health
        self._next_check = 0.0
        self._deaths = 0
        self._began = now()
        self._service: Running = start(spec)

    def run(self) -> None:
        """Until the service has ended for good, or the supervisor closes the line."""
        _say("started")
        while not self._told_to_stop():
            code = self._service.code
            if code is not None and not self._again(code):
                return
            if not self._healthy and now() >= self._next_check:
                self._check()
            _reap(self._service.pid)
        self._service.stop(self.spec.grace_seconds)

    def _again(self, code: int) -> bool:
        """Start the service once more, after a pause, if it is of that kind."""
        if not self.spec.restarts:
            _say(f"ended {code}")
            return False
        self._deaths = 1 if now() - self._began > SETTLED_SECONDS else self._deaths + 1
        if self._told_to_stop(pause(self._deaths)):
            return True
        self._began = now()
        self._service = restart(self.spec)
        self._healthy = not self.spec.health
        _say("restarted")
        return True

    def _check(self) -> None:
        self._next_check = now() + CHECK_EVERY_SECONDS
        self._healthy = well(self.spec)
        if self._healthy:
            _say("healthy")

    @staticmethod
    def _told_to_stop(seconds: float = LOOK_SECONDS) -> bool:
        return bool(select.select([sys.stdin], [], [], seconds)[0])


def _set_up(spec: Spec) -> None:
    """Name, names of the others, network, folders, and the ports of the machine that lead here."""
    socket.sethostname(spec.name)
    for folder in (*spec.folders, spec.working_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    names = Path(spec.log).with_name(f"{spec.name}.hosts")
    names.write_text(spec.hosts_file)
    subprocess.run(["mount", "--bind", str(names), "/etc/hosts"], check=True)
    commands = ["link set lo up"]
    for interface, address in spec.links:
        commands += [f"address add {address} dev {interface}", f"link set {interface} up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
    for handle, port in spec.ports:
        forward(socket.socket(fileno=handle), port)


def _reap(own: int | None) -> None:
    """Collect orphans that have ended, as the first process of any machine does; the service is looked after itself."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid != own:
            os.waitpid(found.si_pid, os.WNOHANG)


def _say(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    main()
