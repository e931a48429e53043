"""The programs of the benchmark for tests, and what another user sees of them."""

from __future__ import annotations

import os
from collections.abc import Callable

from bench.memory.programs import INNOCENT, LEAKS, NATIVE, Program, running

__all__ = ["INNOCENT", "LEAKS", "NATIVE", "Program", "as_nobody", "as_stranger", "running"]


def as_stranger(function: Callable[[int], str], own: int) -> str:
    """What a function says of another user's process: of our `own`, asked by nobody, or of process 1."""
    return as_nobody(lambda: function(own)) if os.getuid() == 0 else function(1)


def as_nobody(function: Callable[[], str]) -> str:
    """What a function returns when an unprivileged user (nobody, of root) calls it, in a fork of this process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(write, function().encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said
