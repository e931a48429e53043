"""The one error that ends a command with a single clear line."""

from __future__ import annotations


class StackError(Exception):
    """What went wrong and the way out, in one line; `./run` prints it and exits with 1."""
