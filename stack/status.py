"""What the supervisor says about itself: one small file that other commands read."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from stack.settings import write_private

State = Literal["waiting", "starting", "ready", "restarting"]


@dataclass
class Part:
    """One line of the status: a component, or a step such as making the tables."""

    name: str
    state: State = "waiting"
    pid: int | None = None
    since: float = 0.0
    seconds: float = 0.0
    restarts: int = 0

    def enter(self, state: State) -> None:
        """Change the state; `seconds` is how long the last start took."""
        now = time.time()
        if state == "ready":
            self.seconds = now - self.since
        self.state, self.since = state, now


@dataclass
class Status:
    """All parts in order, and what ended the supervisor if something did."""

    parts: list[Part] = field(default_factory=list)
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether everything is up."""
        return bool(self.parts) and all(part.state == "ready" for part in self.parts)

    def write(self, file: Path) -> None:
        """Replace the file at once."""
        write_private(file, json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Status:
        """What the file says; an empty status when there is none."""
        try:
            found = json.loads(file.read_text())
        except FileNotFoundError:
            return cls()
        return cls([Part(**part) for part in found["parts"]], found["error"])
