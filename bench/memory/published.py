"""Leaks that users of well-known packages reported: the old version leaks, the twin is the first that does not.

Each is the program of the report (its address stands beside it), cut to the call that leaks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A reported leak. `line` is a text on the line that allocates what is never freed; empty for native memory."""

    package: str
    leaks: str
    fixed: str
    body: str
    line: str = ""
    steps: int = 25


PUBLISHED = (
    # https://github.com/aio-libs/multidict/issues/1232
    Published("multidict", "6.6.3", "6.6.4", """
        from multidict import MultiDict
        def step(number):
            headers = MultiDict([(f"x-{number}", f"value {number}" * 4)])
            headers.pop(f"x-{number}")
        """, "headers = MultiDict"),
    # https://github.com/aio-libs/multidict/issues/1131
    Published("multidict", "6.3.2", "6.4.3", """
        from multidict import CIMultiDict
        def step(number):
            for value in range(4):
                headers = CIMultiDict({f"X-Any-{number}-{value}": "1"})
                list(headers.items())
        """, "headers = CIMultiDict"),
    # https://github.com/protocolbuffers/upb/issues/1243
    Published("protobuf", "4.22.1", "4.25.3", """
        from google.protobuf.type_pb2 import Type
        message = Type()
        def step(number):
            for _ in range(20):
                message.source_context.ByteSize()
        """),
    # https://github.com/pydantic/pydantic/issues/8397
    Published("pydantic", "2.5.2", "2.5.3", """
        from pydantic import BaseModel, TypeAdapter
        class Bar(BaseModel):
            ...
        class Foo(BaseModel):
            children: "list[Foo]"
            bar: Bar
        def step(number):
            TypeAdapter(list[Foo]).validate_python([{"children": [], "bar": Bar()}])
        """, steps=2),
    # https://github.com/pydantic/pydantic/issues/9243
    Published("pydantic", "2.7.0", "2.9.2", """
        from collections.abc import Iterable
        from pydantic import BaseModel
        class Trace(BaseModel):
            elements: Iterable[int]
        def step(number):
            Trace(elements=[1, 2, 3])
        """, "Trace(elements="),
    # https://github.com/msgspec/msgspec/issues/379
    Published("msgspec", "0.14.1", "0.14.2", """
        import msgspec
        class Row(msgspec.Struct):
            values: tuple[int, ...]
        decoder = msgspec.msgpack.Decoder(type=Row)
        DATA = msgspec.msgpack.Encoder().encode(Row(values=tuple(range(1000, 1017))))
        def step(number):
            decoder.decode(DATA)
        """, "decoder.decode(DATA)"),
    # https://github.com/ijl/orjson/blob/master/CHANGELOG.md
    Published("orjson", "3.9.0", "3.9.1", """
        import orjson
        def refuse(value):
            raise TypeError(f"cannot write {value}")
        def step(number):
            try:
                orjson.dumps({"a": object()}, default=refuse)
            except TypeError:
                pass
        """, "raise TypeError"),
)  # fmt: skip
