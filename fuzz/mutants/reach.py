"""Which test runs which line of the ingest, also in the processes that a test starts.

Each test has a file; a line that runs for the first time in a process while the test does is appended to it. So a child
that is killed has told what it did, and a program that is started afresh finds the file's name in its environment.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fuzz.mutants.tracing import FILE, FOLDER, SITE, Tracer

ONCE = {"lru_cache", "cache", "cached_property"}  # functions that the first test alone would be seen to run
COMPILED = {"compiled", "inlined", "njit", "intrinsic", "_intrinsic", "overload"}  # functions that no tracer sees


class ReachPlugin:
    """Traces each test into a file of its own in `out`. `folder` is the one in `tree` whose code is traced.

    `site` is where programs find the tracer when they start.
    """

    def __init__(self, tree: Path, folder: str, out: Path, site: Path) -> None:
        self.tracer, self.out, self.number = Tracer(str(tree / folder)), out, 0
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE)
        os.environ[FOLDER] = str(tree / folder)
        os.environ["PYTHONPATH"] = f"{site}{os.pathsep}{tree}"

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Before, in and after the test itself: its fixtures too."""
        self.number += 1
        file = self.out / f"{os.getpid()}-{self.number}"
        file.write_text(f"{item.nodeid}\n")
        self.tracer.open(file)
        os.environ[FILE] = str(file)
        threading.settrace(self.tracer)
        sys.settrace(self.tracer)
        yield
        sys.settrace(None)
        threading.settrace(None)
        self.tracer.close()
        del os.environ[FILE]


@dataclass
class Reach:
    """What the tests reach: by line, and by file. `seconds` says how long each test takes."""

    lines: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, folder: Path, prefix: str) -> None:
        """Take in the files that tests have written. `prefix` is the traced folder's path from the root."""
        for file in folder.iterdir():
            test, *places = file.read_text().splitlines()
            for place in set(places):
                name, _, line = place.rpartition(":")
                self.lines.setdefault((f"{prefix}/{name}", int(line)), set()).add(test)
                self.files.setdefault(f"{prefix}/{name}", set()).add(test)

    def tests(self, sources: Sources, file: str, line: int) -> set[str]:
        """The tests that run the statement of this line, or may have run it when nobody looked."""
        first, last, hidden = sources.statement(file, line)
        found: set[str] = set().union(*(self.lines.get((file, at), set()) for at in range(first, last + 1)))
        if hidden or (not found and b"include.compiled" in sources.texts[file]):  # or it helps to compile
            importers = [file, *sources.importers(file)]
            return set().union(*(self.files.get(name, set()) for name in importers))
        return found


class Sources:
    """The syntax of the modules below a folder, read once."""

    def __init__(self, root: Path, folder: str) -> None:
        self.texts = {str(path.relative_to(root)): path.read_bytes() for path in sorted((root / folder).rglob("*.py"))}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}

    def statement(self, file: str, line: int) -> tuple[int, int, bool]:
        """First and last line of the innermost statement, and whether a tracer can't tell which test runs it."""
        first, last, hidden = line, line, True
        for node, inside in _statements(self.trees[file], True):
            if node.lineno <= line <= (node.end_lineno or node.lineno):
                first, last, hidden = node.lineno, _head_end(node, line), inside
        return first, last, hidden

    def importers(self, file: str) -> list[str]:
        """The modules that import this one by name."""
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        parent, _, stem = module.rpartition(".")
        needles = (
            f"from {module} import".encode(),
            f"from {parent} import {stem}".encode(),
            f"import {module}".encode(),
        )
        return [name for name, text in self.texts.items() if any(needle in text for needle in needles)]


def _statements(node: ast.AST, hidden: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """All statements, outer before inner, and whether each runs unseen: when modules are imported, cached, compiled."""
    for child in ast.iter_child_nodes(node):
        below = hidden
        if isinstance(child, ast.stmt):
            yield child, hidden
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            named = {_name(decorator) for decorator in child.decorator_list}
            below = bool(named & (ONCE | COMPILED)) or (hidden and _is_nested_in_hidden(node))
        yield from _statements(child, below)


def _is_nested_in_hidden(parent: ast.AST) -> bool:
    """A function within a hidden function is hidden; one of a module or class is not."""
    return isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef))


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _head_end(node: ast.stmt, line: int) -> int:
    """The last line of a statement, or of the head of one that has a body."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return int(max(line, node.lineno, body[0].lineno - 1))
    return node.end_lineno or node.lineno
