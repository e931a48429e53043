"""A notifier for the tests: it writes down what it was told to say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class Told(BaseNotifier):
    """Appends `text` to `file`."""

    template_fields: Sequence[str] = ("text",)

    def __init__(self, *, file: str, text: str) -> None:
        super().__init__()
        self.file, self.text = file, text

    def notify(self, context: Any) -> None:
        with Path(self.file).open("a") as file:
            file.write(f"{self.text}\n")
