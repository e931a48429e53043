"""What this clone's stack is made of: folders, ports and secrets, kept in `.millrace/` between starts."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stack.ports import reserve_free

REPOSITORY = Path(__file__).resolve().parent.parent
API_PORT = 8080
POSTGRES_PORT = 54320


@dataclass(frozen=True)
class Secrets:
    """Made once at random; they leave the state folder only through the environment of our processes."""

    admin: str
    airflow: str
    ingest: str
    jwt: str
    fernet: str
    api: str

    @classmethod
    def generate(cls) -> Secrets:
        """New secrets for a new state folder."""
        word = secrets.token_urlsafe
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        return cls(admin=word(12), airflow=word(24), ingest=word(24), jwt=word(64), fernet=fernet, api=word(32))


@dataclass(frozen=True)
class Settings:
    """Everything the stack needs to know. `state` is the folder that `down --delete` removes."""

    state: Path
    api_port: int
    postgres_port: int
    secrets: Secrets
    repository: Path = REPOSITORY

    @classmethod
    def load(cls, state: Path | None = None) -> Settings:
        """Read the state folder, or make it, with modes that keep other users out."""
        folder = state or state_folder()
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = folder / "settings.json"
        if not file.exists():
            made = cls(folder, API_PORT, POSTGRES_PORT, Secrets.generate())
            made.save()
            return made
        found = json.loads(file.read_text())
        return cls(folder, found["api_port"], found["postgres_port"], Secrets(**found["secrets"]))

    def save(self) -> None:
        """Write ports and secrets, readable for this user only."""
        content = {"api_port": self.api_port, "postgres_port": self.postgres_port, "secrets": asdict(self.secrets)}
        write_private(self.state / "settings.json", json.dumps(content, indent=2))

    def with_free_ports(self) -> tuple[Settings, list[int]]:
        """The same with ports that are free now: the usual ones, else those of last time, else any. Saved.

        Also the handles that keep other stacks off these ports, for the supervisor to inherit.
        """
        api, api_handle = reserve_free(API_PORT, self.api_port)
        postgres, postgres_handle = reserve_free(POSTGRES_PORT, self.postgres_port)
        chosen = replace(self, api_port=api, postgres_port=postgres)
        if chosen != self:
            chosen.save()
        return chosen, [api_handle, postgres_handle]

    @property
    def logs(self) -> Path:
        """The folder of every component's log."""
        return self.state / "logs"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.state / "airflow"

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data, or a link to where it had to go."""
        return self.state / "postgres"

    @property
    def inbox(self) -> Path:
        """Where the files to ingest arrive."""
        return self.state / "inbox"

    @property
    def images(self) -> Path:
        """Where uploaded pictures and their renditions are stored."""
        return self.state / "images"

    @property
    def url(self) -> str:
        """The address of Airflow's pages."""
        return f"http://127.0.0.1:{self.api_port}"

    def database_url(self, database: str, scheme: str = "postgresql") -> str:
        """The connection URL of `airflow` or `warehouse`, each with its own role."""
        role, password = {
            "airflow": ("airflow", self.secrets.airflow),
            "warehouse": ("ingest", self.secrets.ingest),
        }[database]
        return f"{scheme}://{role}:{password}@127.0.0.1:{self.postgres_port}/{database}"


def state_folder() -> Path:
    """`$MILLRACE_STATE`, or `.millrace` in the repository."""
    chosen = os.environ.get("MILLRACE_STATE")
    return Path(chosen).absolute() if chosen else REPOSITORY / ".millrace"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, and never half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
