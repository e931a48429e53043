"""Environment variables, Connections and `.env`: each name that code or compose file reads has a sentence here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from include.retention import SETTINGS as KEEPING
from stack.errors import StackError
from stack.reference.markdown import code, page, table
from stack.settings import REPOSITORY

FOLDERS = ("include", "config", "dags", "plugins", "stack")
NAME = re.compile(r"MILLRACE_[A-Z_]+(\{\})?")
COMPOSE = (REPOSITORY / "docker-compose.yaml", *sorted((REPOSITORY / "deploy").glob("*.yaml")))
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(:[-?])?((?:[^{}]|\{[^{}]*\})*)\}")
KEPT = {
    "rejected": "Days that rejected rows are kept which were replayed or dismissed, or whose run failed. 0: for ever.",
    "open_rejected": "Days that open rejected rows are kept, which wait for somebody. 0: for ever.",
    "runs": "Days that the ledger keeps runs which no later run is compared with. 0: for ever.",
    "memory": "Days that samples, verdicts and evidence of the memory audit are kept. 0: for ever.",
    "logs": "Days that logs are kept since they were last written to, in Airflow's folder and in the bucket. 0: for"
    " ever. Compose file and chart say 30.",
    "metadata": "Days that Airflow's metadata is kept: runs, tasks, XComs, events. 0: for ever.",
}
TEXTS = {
    "MILLRACE_DATASETS": (
        "`include/datasets`",
        "Folders of dataset files, `recipes.yaml` and modules of `clean` hooks, separated as PATH is.",
    ),
    "MILLRACE_INBOX": ("/var/lib/millrace/inbox", "The folder that `{{ inbox }}` stands for in a dataset's `source`."),
    "MILLRACE_ROOTS": (
        "the inbox and that of pictures alone",
        "What else forms, datasets and the page's previews may name: folders, `s3://connection@bucket/prefix`,"
        " `s3://connection@` for all that a Connection reaches, `https://host/prefix`, with commas in between. `*`:"
        " anything, which is the local stack's default.",
    ),
    "MILLRACE_TRIGGERS": (
        "ours, and Airflow's that wait",
        "What else tasks may defer to: classes, or modules with a dot at the end, with commas in between. `*`:"
        " anything, which is the local stack's default.",
    ),
    "MILLRACE_SCRATCH": (
        "the system's temporary folder",
        "A folder of the machine for unpacked files and pictures in progress. It needs room for unpacked files.",
    ),
    "MILLRACE_IMAGES": (
        "/var/lib/millrace/images",
        "The store of pictures: a folder that the API server and all workers share, or `s3://connection@bucket/prefix`.",
    ),
    "MILLRACE_IMAGES_INBOX": (
        "`images/` of the inbox",
        "Folder or URL that the daily run of `resize_images` takes in.",
    ),
    "MILLRACE_IMAGE_KINDS": (
        "all: JPEG, PNG, WEBP, GIF, AVIF, HEIC, TIFF, BMP, JXL",
        "The kinds of pictures that are taken in, with commas in between, for the API server and all workers.",
    ),
    "MILLRACE_IMAGE_POSITION": (
        "off",
        "`on` for the workers: it is kept where pictures were taken, as their EXIF says. It may be personal data.",
    ),
    "MILLRACE_IMAGE_LANES": ("the number of cores", "How many `resize` tasks a run has at most."),
    "MILLRACE_LOGS": ("", "`s3://connection@bucket/prefix`: logs of tasks are kept there."),
    **{name: (str(usual), KEPT[what]) for what, (name, usual) in KEEPING.items()},
    "MILLRACE_METRICS_TOKEN": ("", "The bearer token of `/millrace/metrics`. Without it there is no such route."),
    "MILLRACE_QUEUE_{}": (
        "default",
        "`MILLRACE_QUEUE_INGEST`, `MILLRACE_QUEUE_IMAGES`, `MILLRACE_QUEUE_MEMORY`: the Celery queue of its tasks.",
    ),
    "MILLRACE_MEMORY_AGENT": ("on", "`off` keeps agent and watcher out of whatever is started from then on."),
    "MILLRACE_MEMORY_FOLDER": (
        "a folder of the user in `$TMPDIR`",
        "The private folder of questions, answers and the spool. Two Airflows of one user on a machine need one each.",
    ),
    "MILLRACE_MEMORY_SECONDS": ("60", "Seconds between two looks of the watcher."),
    "MILLRACE_MEMORY_PROCESSES": ("", "More processes to watch, as JSON of role to regular expression."),
    "MILLRACE_MEMORY_LIMIT_MB": (
        "what its control group leaves beside its neighbours",
        "How much memory a watched process may take.",
    ),
    "MILLRACE_LOGIN": (
        "",
        "Where users come from, as JSON: [secure a deployment](../how-to/secure.md#let-more-users-in). The local stack"
        " has its own login.",
    ),
    "MILLRACE_NOTIFY": (
        "",
        'Who is told of failures, warnings and recovery: JSON as `{"to": ["a connection"], "on": ["failure"],'
        ' "dags": ["ingest_*"]}`, or a list of it. [Get notices](../how-to/get-notices.md).',
    ),
    "MILLRACE_RELEASE": ("the commit that is checked out", "Marks deploys on the plots of the memory audit."),
    "MILLRACE_FIXED_CODE": (
        "",
        "Set where the code does not change while a worker runs: workers then import it once, and not in each task.",
    ),
    "MILLRACE_METADATA_SUPERUSER": ("", "URL of the metadata's server as superuser, for `include.warehouse.prepare`."),
    "MILLRACE_WAREHOUSE_SUPERUSER": (
        "",
        "URL of the warehouse's server as superuser, for `include.warehouse.prepare`.",
    ),
    "MILLRACE_STATE": ("`.millrace` in the clone", "Where the local stack keeps its state."),
    "MILLRACE_EXECUTOR": ("LocalExecutor", "Airflow's executor on the local stack, or several."),
}
CONNECTIONS = {
    "warehouse": "PostgreSQL, as role `ingest`. A dataset may name another one in `postgres_conn_id`.",
    "warehouse_pages": "The same as role `pages`, for what only reads. Without it, `warehouse` serves.",
    "named in `notify`": "`http` or `smtp`: where [notices](../how-to/get-notices.md) go.",
    "image_callbacks": 'Password: the shared secret of callbacks. Extra: `{"origins": […]}`, where they may go.',
    "image_sources": (
        'Extra: `{"origins": […]}`, where pictures are [fetched](../how-to/upload-pictures.md#fetch-from-a-url) from;'
        ' with `"private": true` also if a name leads to an address that is not public.'
    ),
    "image_links": "Password: the key that signs [links to renditions](../how-to/use-in-a-web-app.md), 32 characters or"
    ' more. Extra: `{"previous": "…"}`, the key before it, whose links still hold. Without it, links are off.',
    "any other": "Named before the `@` of a URL: `s3://connection@bucket/…`.",
}
ENV = {
    "METADATA_SUPERUSER_PASSWORD": "Superuser of the metadata's server.",
    "WAREHOUSE_SUPERUSER_PASSWORD": "Superuser of the warehouse's server.",
    "AIRFLOW_DB_PASSWORD": "Role `airflow`, which owns the metadata.",
    "WAREHOUSE_PASSWORD": "Role `ingest`, which owns the warehouse.",
    "PAGES_PASSWORD": "Role `pages`, which only reads.",
    "REDIS_PASSWORD": "Celery's queue.",
    "ADMIN_PASSWORD": "The login `admin` of Airflow, Flower and Grafana.",
    "METRICS_TOKEN": "The bearer token of `/millrace/metrics`.",
    "API_SECRET_KEY": "Signs the sessions of Airflow's page.",
    "JWT_SECRET": "Signs the tokens of users and tasks.",
    "FERNET_KEY": "Encrypts Connections in the metadata.",
    "BIND": "The address on which ports are open.",
    "API_PORT": "Airflow's page.",
    "WAREHOUSE_PORT": "The warehouse.",
    "FLOWER_PORT": "Flower, profile `flower`.",
    "PROMETHEUS_PORT": "Prometheus, profile `monitoring`.",
    "GRAFANA_PORT": "Grafana, profile `monitoring`.",
    "BASE_URL": "The address under which users reach Airflow.",
    "COMPOSE_FILE": "Files of compose, each laid over those before it, separated by `:`.",
    "TLS_FOLDER": "Certificates that `./run secrets --tls` makes.",
    "PROXY": "Addresses of a proxy with TLS, as the API server sees it: what it says of a client is believed. With"
    " `deploy/proxy.yaml`, the address of its container.",
    "PROXY_NETWORK": "Addresses of the network between that proxy and the API server; `172.31.250.0/28` by default.",
    "PROXY_OTHERS": "The part of that network from which others than the proxy get their addresses.",
    "PROXY_TO": "The API server as that proxy asks it: `https://api-server:8080` with `deploy/tls.yaml`.",
    "PROXY_BIND": "The address on which that proxy's ports are open.",
    "HTTPS_PORT": "That proxy, for browsers.",
    "HTTP_PORT": "That proxy, which sends browsers on to `BASE_URL`.",
    "AUTH_MANAGER": "Airflow's auth manager, of a provider that the image has.",
    "LOGIN": "`MILLRACE_LOGIN`: [how users log in](../how-to/secure.md#let-more-users-in).",
    "LOGIN_FILE": "A file of your own for Flask-AppBuilder, as the containers see it, instead of `LOGIN`.",
    "MILLRACE_IMAGE": "The container image.",
    "MILLRACE_CPU": "For `docker compose build`: the processor that functions are compiled for, as LLVM names it.",
    "MILLRACE_VERSION": "For `docker compose build`: the image's label of its version.",
    "MILLRACE_REVISION": "For `docker compose build`: the image's label of its commit.",
    "PARALLELISM": "Tasks at once in all workers: workers times `WORKER_CONCURRENCY`. Pools are cut from it.",
    "WORKER_CONCURRENCY": "Tasks at once in one worker.",
    "WORKER_MEMORY": "Memory limit of a worker.",
    "WAREHOUSE_WAL": "`max_wal_size` of the warehouse: three times the largest file.",
    "MEMORY_SECONDS": "`MILLRACE_MEMORY_SECONDS`.",
    "INBOX": "The inbox: a folder of the machine that user 50000 may read, or the name of a volume.",
    "IMAGES": "`MILLRACE_IMAGES`.",
    "LOGS": "`MILLRACE_LOGS`.",
    "DATASETS": "`MILLRACE_DATASETS`, as the containers see the folders: mount them in each service of Airflow.",
    "ROOTS": "`MILLRACE_ROOTS`.",
    "TRIGGERS": "`MILLRACE_TRIGGERS`.",
    "STORAGE": "The Connection `storage`, as JSON or URL, for `IMAGES` and `LOGS`.",
    "KEEP_REJECTED_DAYS": "`MILLRACE_KEEP_REJECTED_DAYS`.",
    "KEEP_OPEN_REJECTED_DAYS": "`MILLRACE_KEEP_OPEN_REJECTED_DAYS`.",
    "KEEP_RUNS_DAYS": "`MILLRACE_KEEP_RUNS_DAYS`.",
    "KEEP_MEMORY_DAYS": "`MILLRACE_KEEP_MEMORY_DAYS`.",
    "KEEP_LOGS_DAYS": "`MILLRACE_KEEP_LOGS_DAYS`.",
    "KEEP_METADATA_DAYS": "`MILLRACE_KEEP_METADATA_DAYS`.",
    "NOTIFY": "`MILLRACE_NOTIFY`.",
    "INGEST_QUEUE": "`MILLRACE_QUEUE_INGEST`.",
    "IMAGES_QUEUE": "`MILLRACE_QUEUE_IMAGES`.",
    "MEMORY_QUEUE": "`MILLRACE_QUEUE_MEMORY`.",
    "TASK_SILENCE_SECONDS": "How long a worker may be silent until its tasks are retried.",
    "TASK_QUEUED_SECONDS": "How long a task may be queued until it is queued again.",
}


def write() -> str:
    """The page. Raises StackError where a name has no sentence, or a sentence no name."""
    defaults = dict(_compose())
    _compare("the code", set(_read_by_code()), set(TEXTS))
    _compare("docker-compose.yaml", set(defaults), set(ENV))
    return page(
        "Settings",
        "What a dataset says stands in [its file](datasets.md); the rest is in the environment of Airflow's processes.",
        "## Environment variables",
        table(["variable", "default", "meaning"], [[code(name.format("<KIND>")), *_row(name)] for name in TEXTS]),
        "`./run up` takes `AIRFLOW_CONN_…`, `AIRFLOW__CELERY__…` and the `MILLRACE_…` of datasets, images, keeping,"
        " logs, memory, metrics, notices, queues, roots, scratch and triggers from the shell that calls it.",
        "## Connections",
        "Of Airflow: in its page, or as `AIRFLOW_CONN_<NAME>` in the environment, as a URL or JSON.",
        table(
            ["Connection", "what it is"],
            [[code(name) if " " not in name else name, text] for name, text in CONNECTIONS.items()],
        ),
        "## .env",
        "Settings of `docker-compose.yaml`, the files of `deploy/` that are laid over it, and `./run cluster`."
        " `./run secrets` makes those without a default.",
        table(["setting", "default", "meaning"], [[code(name), defaults[name], text] for name, text in ENV.items()]),
    )


def _row(name: str) -> list[str]:
    usual, text = TEXTS[name]
    return [code(usual) if re.fullmatch(r"[/\w]+", usual) else usual, text]


def _read_by_code() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            if file.parent != Path(__file__).parent:
                yield from _names(ast.parse(file.read_text()))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            yield node.value


def _compose() -> Iterator[tuple[str, str]]:
    """Each variable with its default; the first place that gives one counts."""
    found = {"COMPOSE_FILE": code("docker-compose.yaml")}  # which compose itself reads
    used = [one for file in COMPOSE for one in VARIABLE.findall(file.read_text())]
    for name, how, text in used:
        if how == ":-":
            found.setdefault(name, code(text) or "empty")
            found |= {inner: code(usual) for inner, _, usual in VARIABLE.findall(text) if inner not in found}
    for name, how, _ in used:
        if how != ":-":
            found.setdefault(name, "*required*")
    yield from found.items()


def _compare(source: str, read: set[str], told: set[str]) -> None:
    if read - told:
        raise StackError(
            f"{source} reads {', '.join(sorted(read - told))}, of which stack/reference/settings.py says nothing"
        )
    if told - read:
        raise StackError(
            f"stack/reference/settings.py tells of {', '.join(sorted(told - read))}, which {source} does not read"
        )
