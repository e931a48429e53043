"""The mutants of a module: every place where a small change of its text makes a program that should be wrong.

Left alone are what cannot or need not be told from the right program: docstrings, type hints, texts for people, log
lines, numbers outside of functions (block sizes, limits of caches), and whatever `excluded` lists.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.mutants.statements import changed_sql

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
TELLING = {"info", "debug", "exception", "print"}  # calls that only tell a person


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes [start, end) of the file become `text`. `scope` is the function around it, "" if none."""

    file: str
    line: int
    column: int
    scope: str
    start: int
    end: int
    before: str
    text: str

    def apply(self, source: bytes) -> bytes:
        """The whole module with the change in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    @property
    def name(self) -> str:
        """`include/ingest/merge.py:80:12`."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def change(self) -> str:
        """What became what, in one line."""
        return f"{_short(self.before)}  ->  {_short(self.text)}"


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of the text. `file` is its path from the repository's root."""
    walk = _Walk(file, source)
    walk.visit(ast.parse(source))
    found = [mutant for mutant in walk.found if _parses(mutant.apply(source))]
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.text))


def _parses(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _short(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) <= 90 else one[:87] + "..."


class _Walk(ast.NodeVisitor):
    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source
        self.starts = [0]
        for row in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(row))
        self.scope: list[str] = []
        self.found: list[Mutant] = []

    # -- places -------------------------------------------------------------------------------------------------

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def add(self, start: int, end: int, text: str) -> None:
        before = self.source[start:end].decode()
        line = self.source.count(b"\n", 0, start)
        place = (line + 1, start - self.starts[line] + 1)
        self.found.append(Mutant(self.file, *place, ".".join(self.scope), start, end, before, text))

    def replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        self.add(self.start(node), self.end(node), text)

    def text(self, node: ast.expr) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    def swap(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Change the operator that stands between two operands."""
        start, end = self.end(left), self.start(right)
        word = rf"\b{old}\b".replace(" ", r"\s+") if old[0].isalpha() else re.escape(old)
        hit = re.search(word.encode(), self.source[start:end])
        if hit:
            self.add(start + hit.start(), start + hit.end(), new)

    # -- what is not walked ---------------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Neither decorators nor hints: defaults and the body."""
        self.scope.append(node.name)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self.body(node.body)
        self.scope.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body, without its docstring."""
        self.scope.append(node.name)
        self.body(node.body)
        self.scope.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the hint."""
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """An f-string's parts have no places of their own in this Python."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Only whether it is raised: the rest is text for people."""
        self.replace(node, "pass")

    def visit_If(self, node: ast.If) -> None:
        """Its condition turned, unless the comparison in it is turned anyway."""
        if isinstance(node.test, ast.Compare) and "__name__" in self.text(node.test):
            return
        if isinstance(node.test, (ast.Name, ast.Call, ast.Attribute, ast.NamedExpr)):
            self.replace(node.test, f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """As an `if`."""
        if isinstance(node.test, (ast.Name, ast.Call, ast.Attribute)):
            self.replace(node.test, f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Never entered; turned, it mostly never ends."""
        if not isinstance(node.test, ast.Constant):
            self.replace(node.test, "False")
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """For the type checker."""

    # -- changes --------------------------------------------------------------------------------------------------

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self.visit(statement)

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call for its effect is left out; what tells a person is not looked at."""
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call):
            named = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if named in TELLING:
                return
            self.replace(node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Another operator, or none of it."""
        self.replace(node, "pass")
        old, new = ARITHMETIC.get(type(node.op), ("", ""))
        if old:
            self.swap(node.target, node.value, f"{old}=", f"{new}=")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        """Left out, unless it only lets memory go."""
        if not all(isinstance(target, ast.Name) for target in node.targets):
            self.replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self.replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "break")

    def visit_Return(self, node: ast.Return) -> None:
        """None instead of a value; the values are changed where they stand."""
        if node.value is None:
            if self.scope:
                self.replace(node, "pass")
            return
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, (bool, type(None)))):
            self.add(self.start(node.value), self.end(node.value), "None")
        self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        """`<` and `<=`, `==` and `!=`, `in` and `not in`; and `<` and `>` where the bound does not tell."""
        operands = [node.left, *node.comparators]
        for at, operator in enumerate(node.ops):
            old, new = COMPARISONS[type(operator)]
            self.swap(operands[at], operands[at + 1], old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`and` and `or`, and each operand left out."""
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.swap(left, right, old, new)
        self.add(self.end(node.values[0]), self.end(node), "")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """`not x` and `-x` become `x`."""
        if isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
            self.replace(node, f"({self.text(node.operand)})")
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return  # -1 mostly says "none", as -2 would
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operator, unless the operands are text."""
        if not self.scope and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            return  # a size such as 8 << 20
        old, new = ARITHMETIC.get(type(node.op), ("", ""))
        if old and not any(map(_is_text, (node.left, node.right))):
            self.swap(node.left, node.right, old, new)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """True and False, a number moved by one (in functions), SQL."""
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value))
        elif isinstance(node.value, int) and self.scope:
            self.replace(node, str(node.value + 1))
        elif isinstance(node.value, str):
            self._sql(node)

    def _sql(self, node: ast.Constant) -> None:
        start, end = self.start(node), self.end(node)
        for at, until, text in changed_sql(str(node.value), self._strings(start, end)):
            self.add(start + at, start + until, text)

    def _strings(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        """The string tokens of a constant that may stand on several lines: place in bytes and text."""
        piece = b"(" + self.source[start:end] + b")"
        rows = piece.splitlines(keepends=True)
        for token in tokenize.tokenize(io.BytesIO(piece).readline):
            if token.type == tokenize.STRING:
                row, column = token.start
                before = len(rows[row - 1].decode()[:column].encode())
                yield sum(map(len, rows[: row - 1])) + before - 1, token.string


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
