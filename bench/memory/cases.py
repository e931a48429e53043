"""Every program of the part `real`, and what is expected of the audit of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.memory.programs import INNOCENT, LEAKS, NATIVE
from bench.memory.published import PUBLISHED, Published

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

    @property
    def nameable(self) -> bool:
        """Whether there is a line or a holder in Python."""
        return bool(self.holder or self.line)


def cases() -> list[Case]:
    """All of them: leaks first."""
    own = [Case(name, body, True, "Python objects", *GUILTY[name]) for name, body in LEAKS.items()]
    own.append(Case("native_malloc", NATIVE, True, "native memory"))
    innocent = {name: body for name, body in INNOCENT.items() if name != "bounded_cache"} | LIBRARIES
    return [
        *own,
        *(_published(one, one.leaks) for one in PUBLISHED),
        *(_published(one, one.fixed) for one in PUBLISHED),
        *(Case(name, body, steps=STEPS.get(name, 25)) for name, body in innocent.items()),
    ]


def _published(one: Published, version: str) -> Case:
    case = Case(f"{one.package} {version}", one.body, venv=f"{one.package}-{version}", steps=one.steps)
    kind = "Python objects" if one.line else "native memory"
    return case if version == one.fixed else replace(case, leaks=True, kind=kind, line=one.line)
