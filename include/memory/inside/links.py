"""Names for people: what an object is, and by what name or place another refers to it.

Nothing here runs the program's own code: no `repr`, no property, no `__class__` of a proxy.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from types import BuiltinFunctionType, CellType, CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

from include.memory.inside.census import type_name

SEARCHED = 200_000  # entries of one container; what stands further on has no name
LONGEST_KEY = 60
CO_OPTIMIZED = 0x1
FRAMES_OWN_REFERENCES = 4


def isinstance_of(one: Any, kind: type) -> bool:
    """isinstance that asks the type only: a proxy's own `__class__` would run the program's code."""
    return issubclass(type(one), kind)


def describe(one: Any) -> str:
    """What it is, in some words: `list of 1,024`, `function app.load`, `frame of run (app.py:12)`."""
    kind = type(one)
    if kind is ModuleType:
        return f"module {ModuleType.__getattribute__(one, '__name__')}"
    if isinstance_of(one, type):
        return f"class {type_name(one)}"
    if kind is FunctionType:
        return f"function {one.__module__}.{one.__qualname__}"
    if kind is FrameType:
        return f"frame of {_place(one.f_code, one.f_lineno)}"
    if kind is TracebackType:
        return f"traceback at {_place(one.tb_frame.f_code, one.tb_lineno)}"
    code = next((getattr(one, name, None) for name in ("gi_code", "cr_code") if kind.__module__ == "builtins"), None)
    if isinstance(code, CodeType):
        return f"{kind.__name__} {_place(code, code.co_firstlineno)}"
    for sized in (dict, list, tuple, set, frozenset, deque):
        if isinstance_of(one, sized):
            return f"{type_name(kind)} of {sized.__len__(one):,}"
    return type_name(kind)


def via(holder: Any, held: Any) -> str:
    """How the holder refers to it: `['key']`, `[17]`, `.name`, `closure variable x`, or `→` when it cannot be told."""
    try:
        return _via(holder, held)
    except Exception:  # the program goes on meanwhile: a dict may change its size, an attribute may vanish
        return "[?]"


def local_name(frame: FrameType, wanted: Mapping[int, int]) -> tuple[str, int] | None:
    """The local variable of a function's frame that is one of these objects (by address), and the address."""
    names = frame.f_locals
    try:
        return next(((name, id(value)) for name, value in names.items() if id(value) in wanted), None)
    finally:
        _forget(frame, names)


def _forget(frame: FrameType, names: Mapping[str, Any]) -> None:
    """Before Python 3.13 this dict is kept by the frame, and would keep alive what the function lets go of.

    It is emptied, unless it is a real namespace or somebody else (who called `locals()`) has it too.
    """
    of_function = frame.f_code.co_flags & CO_OPTIMIZED and names is not frame.f_globals
    # The frame, this argument, the caller's variable, and getrefcount's own argument.
    if of_function and type(names) is dict and sys.getrefcount(names) <= FRAMES_OWN_REFERENCES:
        names.clear()


def _via(holder: Any, held: Any) -> str:
    if isinstance_of(holder, dict):
        key = _key(holder, held)
        return f"[{key}]"
    for sized in (list, tuple, deque):
        if isinstance_of(holder, sized):
            return f"[{_index(holder, held)}]"
    if isinstance_of(holder, set):
        return "element"
    if type(holder) is CellType:
        return "content"
    if type(holder) is FrameType:
        found = local_name(holder, {id(held): 0})
        return f"local variable {found[0]}" if found else "local"
    names: Iterable[str] = ("__dict__", *_slots(type(holder)))
    if isinstance_of(holder, (FunctionType)):
        names = ("__closure__", "__defaults__", "__kwdefaults__", "__dict__", "__globals__", "__wrapped__")
    elif isinstance_of(holder, BaseException):
        names = ("__traceback__", "__context__", "__cause__", "args", "__dict__")
    elif isinstance_of(holder, TracebackType):
        names = ("tb_frame", "tb_next")
    elif isinstance_of(holder, BuiltinFunctionType):
        names = ("__self__",)
    return _attribute(holder, held, names)


def _attribute(holder: Any, held: Any, names: Iterable[str]) -> str:
    own: Any = {}
    for name in names:
        try:
            value = object.__getattribute__(holder, name) if not isinstance_of(holder, type) else vars(holder)
        except AttributeError:
            continue
        if value is held:
            return f".{name}"
        own = value if name == "__dict__" else own
    for name, value in islice(own.items(), SEARCHED):
        if value is held:
            return f".{name}"
    return "→"


def _key(holder: dict[Any, Any], held: Any) -> str:
    for key, value in islice(dict.items(holder), SEARCHED):
        if value is held:
            return _short(key)
        if key is held:
            return "a key"
    return "?"


def _short(key: Any) -> str:
    if type(key) in (str, bytes, int, float, bool, type(None)):
        text = repr(key[:LONGEST_KEY] if type(key) in (str, bytes) else key)
        return text[: LONGEST_KEY + 4]
    return f"a {type_name(type(key))}"


def _index(holder: Any, held: Any) -> str:
    return next((f"{place:,}" for place, one in enumerate(islice(holder, SEARCHED)) if one is held), "?")


def _slots(kind: type) -> list[str]:
    names = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    return [name for slots in names for name in ((slots,) if isinstance(slots, str) else slots)]


def _place(code: CodeType, line: int | None) -> str:
    return f"{code.co_qualname} ({code.co_filename}:{line})"
