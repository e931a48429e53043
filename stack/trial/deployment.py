"""A deployment for a trial: docker-compose.yaml as a project of its own, with secrets and ports of its own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stack import secrets_file
from stack.api import AirflowApi
from stack.errors import StackError
from stack.ports import HOST, free_port
from stack.settings import REPOSITORY, Secrets, Settings
from stack.tls import folder as certificates

PROJECT = "millrace-trial"
UP_SECONDS = 400.0


class Deployment:
    """What compose runs. Every failed command raises StackError with what it said.

    `tls` lays the files over it that have the services talk by TLS, and the proxy in front; it is asked through that.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, image: str, *, tls: bool = False) -> None:
        self.project, self._folder, self.workers = PROJECT, folder, 2
        self._file = folder / "env"
        self._file.unlink(missing_ok=True)
        secrets_file.complete(self._file)
        self.use(image)
        self._ports = free_port(), free_port()
        api, warehouse = map(str, self._ports)
        # The page sends a browser to its own address after the login and the logout.
        own = {"API_PORT": api, "BASE_URL": f"http://127.0.0.1:{api}", "WAREHOUSE_PORT": warehouse}
        self.environment = {**environment, **own, "MEMORY_SECONDS": "5"}
        self._proxied = self._by_tls() if tls else ""
        self.nameless = self.nameless_volumes()  # of others, on a machine whose engine is used for more

    def _by_tls(self) -> str:
        """Have everything by TLS; returns the address of the proxy."""
        https, http = map(str, (free_port(), free_port()))
        url = f"https://localhost:{https}"
        certificates.complete(self._folder / "tls", url)
        self.environment |= {
            "COMPOSE_FILE": "docker-compose.yaml:deploy/tls.yaml:deploy/proxy.yaml", "BASE_URL": url,
            "TLS_FOLDER": str(self._folder / "tls"), "PROXY_TO": "https://api-server:8080",
            "PROXY_BIND": HOST, "HTTPS_PORT": https, "HTTP_PORT": http,
        }  # fmt: skip
        return url

    def use(self, image: str) -> None:
        """Let the next `up` run that image."""
        kept = [line for line in self._file.read_text().splitlines() if not line.startswith("MILLRACE_IMAGE=")]
        self._file.write_text("\n".join([*kept, f"MILLRACE_IMAGE={image}", ""]))

    def compose(self, *arguments: str, given: bytes | None = None) -> bytes:
        """Run one command of compose; `given` is its input."""
        command = ["docker", "compose", "--project-name", self.project, "--env-file", str(self._file), *arguments]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, input=given, capture_output=True, check=False
        )
        if done.returncode:
            raise StackError(
                f"compose {' '.join(arguments[:3])}: {done.stderr.decode(errors='replace').strip()[-1500:]}"
            )
        return done.stdout

    def docker(self, *arguments: str) -> str:
        """Run one command of docker."""
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"docker {' '.join(arguments[:3])}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def up(self) -> None:
        """Start what does not run, replace what changed, and wait until all are healthy."""
        self.compose("up", "--detach", "--no-build", "--scale", f"worker={self.workers}")
        until(self._healthy, "healthy containers", UP_SECONDS)

    def containers(self) -> list[dict[str, Any]]:
        """All containers, as `compose ps` has them."""
        return [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines()]

    def query(self, service: str, database: str, question: str) -> str:
        """What one of the databases answers."""
        command = ("psql", "-U", "postgres", "-d", database, "-tAc", question)
        return self.compose("exec", "-T", service, *command).decode().strip()

    def deliver(self, file: Path, name: str) -> None:
        """Put a file into the inbox, under its name only once it is whole."""
        path = f"/data/inbox/{name}"
        script = f'mkdir -p "$(dirname {path})" && cat > {path}.part && mv {path}.part {path}'
        self.compose("exec", "-T", "worker", "sh", "-c", script, given=file.read_bytes())

    @property
    def settings(self) -> Settings:
        """Its ports and its login, as clients of Airflow want them."""
        made = secrets_file.read(self._file)
        secrets = Secrets(
            made["ADMIN_PASSWORD"], ingest=made["WAREHOUSE_PASSWORD"], airflow="", jwt="", fernet="", api=""
        )
        return Settings(self._folder, *self._ports, secrets)

    def api(self) -> AirflowApi:
        """A client with the login."""
        ca = self._folder / "tls" / "ca" / "ca.crt"
        client = AirflowApi(self.settings, self._proxied, ca if self._proxied else None)
        client.login()
        return client

    def nameless_volumes(self) -> set[str]:
        """Volumes that no container has."""
        return set(self.docker("volume", "ls", "--quiet", "--filter", "dangling=true").split())

    def logs(self) -> str:
        """The last lines of each container."""
        return self.compose("logs", "--no-color", "--tail", "40").decode(errors="replace")

    def remove(self) -> None:
        """Containers, networks and volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "60")

    def _healthy(self) -> bool:
        found = self.containers()
        failed = [one["Name"] for one in found if one["State"] == "exited" and one["ExitCode"]]
        if failed:
            raise StackError(f"{', '.join(failed)} ended with a fault")
        running = [one for one in found if one["Service"] != "init"]
        workers = sum(one["Service"] == "worker" for one in running)
        return workers == self.workers and all(one.get("Health") == "healthy" for one in running)


def until(holds: Callable[[], Any], what: str, seconds: float, pause: float = 1.0) -> None:
    """Wait until it holds. Raises StackError after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise StackError(f"no {what} after {seconds:.0f} s")
        time.sleep(pause)
