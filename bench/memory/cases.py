"""Every program of the part `real`, and what is expected of the audit of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.memory.programs import INNOCENT, LEAKS, NATIVE

# What holds the leak, and a text on the line that allocates it.
GUILTY = {
    "global_list": (".ORDERS list", "ORDERS.append"),
    "unbounded_cache": (".price functools._lru_cache_wrapper", "return [number] * 20"),
    "strings_in_a_dict": (".SEEN dict", "SEEN["),
    "cycle_that_comes_back": (".REFUSED list", "self.me, self.data"),
    "closure": (".HOOKS dict", "def hook"),
    "thread_local": (".LOCAL _thread._local", "LOCAL.rows.append"),
    "traceback_kept": (".FAILURES list", "payload = [number] * 50"),
}

# In this project's own venv, so with the versions that Airflow runs with.
LIBRARIES = {
    "cache_that_fills": """
        @lru_cache(maxsize=3_000)
        def price(number):
            return [number] * 100
        def step(number):
            price(number)
    """,
    "fragmented_arenas": """
        import random
        random.seed(1)
        KEPT = [None] * 6_000
        def step(number):
            for _ in range(4):
                short = [bytes(random.randrange(600, 6_000)) for _ in range(20)]
                KEPT[random.randrange(6_000)] = short[7]
    """,
    "bursts_in_threads": """
        def burst():
            rows = [bytes(3_000) for _ in range(300)]
        def step(number):
            threads = [threading.Thread(target=burst) for _ in range(3)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
    """,
    "imports": """
        import importlib
        NAMES = '''xml.dom.minidom sqlite3 asyncio http.server email.mime.text decimal unittest.mock xmlrpc.client
            multiprocessing.pool concurrent.futures tarfile zipfile ftplib imaplib smtplib csv difflib doctest pdb
            statistics wsgiref.simple_server ctypes.util plistlib mailbox optparse pydoc cProfile'''.split()
        def step(number):
            if number % 40 == 0 and number // 40 < len(NAMES):
                importlib.import_module(NAMES[number // 40])
    """,
    "sqlalchemy_statements": """
        from sqlalchemy import create_engine, literal, select
        connection = create_engine("sqlite://").connect()
        def step(number):
            connection.execute(select(literal(number).label(f"column_{number % 5_000}"))).all()
    """,
    "jinja2_templates": """
        from jinja2 import DictLoader, Environment
        texts = {f"t{n}": f"{{% for x in y %}}{n} {{{{ x }}}}{{% endfor %}}" for n in range(3_000)}
        pages = Environment(loader=DictLoader(texts))
        def step(number):
            pages.get_template(f"t{number % 3_000}").render(y=[1, 2])
    """,
    "expressions_and_addresses": """
        import fnmatch, re
        from urllib.parse import urlsplit
        def step(number):
            re.search(f"order {number}[0-9]+", "order 17")
            fnmatch.fnmatch("order.csv", f"*{number}.csv")
            urlsplit(f"https://example.org/{number}?q={number}")
    """,
    "botocore_client_a_call": """
        import botocore.session
        session = botocore.session.Session()
        def step(number):
            session.create_client("sts", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    """,
}
STEPS = {
    "bursts_in_threads": 1, "imports": 1, "sqlalchemy_statements": 3, "jinja2_templates": 2,
    "botocore_client_a_call": 1, "expressions_and_addresses": 5, "fragmented_arenas": 5,
}  # fmt: skip


# Leaks that users of well-known packages reported: the program of the report, cut to the call that leaks. The old
# version leaks, the twin is the first that does not. The text is on the line that allocates what is never freed; there
# is none for native memory.
PUBLISHED: tuple[tuple[str, str, str, str, str, int], ...] = (
    # https://github.com/aio-libs/multidict/issues/1232
    ("multidict", "6.6.3", "6.6.4", """
        from multidict import MultiDict
        def step(number):
            headers = MultiDict([(f"x-{number}", f"value {number}" * 4)])
            headers.pop(f"x-{number}")
        """, "headers = MultiDict", 25),
    # https://github.com/aio-libs/multidict/issues/1131
    ("multidict", "6.3.2", "6.4.3", """
        from multidict import CIMultiDict
        def step(number):
            for value in range(4):
                headers = CIMultiDict({f"X-Any-{number}-{value}": "1"})
                list(headers.items())
        """, "headers = CIMultiDict", 25),
    # https://github.com/protocolbuffers/upb/issues/1243
    ("protobuf", "4.22.1", "4.25.3", """
        from google.protobuf.type_pb2 import Type
        message = Type()
        def step(number):
            for _ in range(20):
                message.source_context.ByteSize()
        """, "", 25),
    # https://github.com/pydantic/pydantic/issues/8397
    ("pydantic", "2.5.2", "2.5.3", """
        from pydantic import BaseModel, TypeAdapter
        class Bar(BaseModel):
            ...
        class Foo(BaseModel):
            children: "list[Foo]"
            bar: Bar
        def step(number):
            TypeAdapter(list[Foo]).validate_python([{"children": [], "bar": Bar()}])
        """, "", 2),
    # https://github.com/pydantic/pydantic/issues/9243
    ("pydantic", "2.7.0", "2.9.2", """
        from collections.abc import Iterable
        from pydantic import BaseModel
        class Trace(BaseModel):
            elements: Iterable[int]
        def step(number):
            Trace(elements=[1, 2, 3])
        """, "Trace(elements=", 25),
    # https://github.com/msgspec/msgspec/issues/379
    ("msgspec", "0.14.1", "0.14.2", """
        import msgspec
        class Row(msgspec.Struct):
            values: tuple[int, ...]
        decoder = msgspec.msgpack.Decoder(type=Row)
        DATA = msgspec.msgpack.Encoder().encode(Row(values=tuple(range(1000, 1017))))
        def step(number):
            decoder.decode(DATA)
        """, "decoder.decode(DATA)", 25),
    # https://github.com/ijl/orjson/blob/master/CHANGELOG.md
    ("orjson", "3.9.0", "3.9.1", """
        import orjson
        def refuse(value):
            raise TypeError(f"cannot write {value}")
        def step(number):
            try:
                orjson.dumps({"a": object()}, default=refuse)
            except TypeError:
                pass
        """, "raise TypeError", 25),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A program, and what is true of it. `holder` or `line` must be named if it is a leak of Python objects.

    `venv` names the pins it is installed from; without, it runs in this project's own.
    """

    name: str
    body: str
    leaks: bool = False
    kind: str = ""
    holder: str = ""
    line: str = ""
    venv: str = ""
    steps: int = 25


def cases() -> list[Case]:
    """All of them: leaks first."""
    own = [Case(name, body, True, "Python objects", *GUILTY[name]) for name, body in LEAKS.items()]
    own.append(Case("native_malloc", NATIVE, True, "native memory"))
    fixed = []
    for package, version, other, body, line, steps in PUBLISHED:
        twin = Case(f"{package} {other}", body, venv=f"{package}-{other}", steps=steps)
        kind, name, venv = "Python objects" if line else "native memory", f"{package} {version}", f"{package}-{version}"
        own.append(replace(twin, name=name, leaks=True, kind=kind, line=line, venv=venv))
        fixed.append(twin)
    innocent = {name: body for name, body in INNOCENT.items() if name != "bounded_cache"} | LIBRARIES
    return [*own, *fixed, *(Case(name, body, steps=STEPS.get(name, 25)) for name, body in innocent.items())]
