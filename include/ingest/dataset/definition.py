"""A dataset: where its file is, what its columns are, and how its rows enter the table."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

from pydantic import Field, field_validator, model_validator

from include.ingest.dataset import interval, template
from include.ingest.dataset.columns import _ORDERED, Column, CrossFaults, CsvFormat, Model, Path_
from include.ingest.dataset.sql_types import JSONS
from include.notify import Notify

RESERVED_DATASETS = ("file",)  # as `ingest_file` is the DAG that takes any file
RESERVED = ("processed_at", "source_version")
SYSTEM_COLUMNS = ("ctid", "tableoid", "xmin", "xmax", "cmin", "cmax")
LONGEST_NAME = 63  # characters
IDENTIFIER = rf"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}"
MEBIBYTE = 1 << 20
MAX_RECORD_BYTES = 64 * MEBIBYTE  # unless a dataset's `max_record_bytes` says otherwise


class RejectLimit(Model):
    """How many rejected rows a run may have. Over either limit it fails; null switches a limit off."""

    rows: int | None = Field(1000, ge=0, description="The greatest number of rejected rows.")
    ratio: float | None = Field(0.01, ge=0, le=1, description="The greatest share of rejected rows, from 0 to 1.")

    def exceeded(self, read: int, rejected: int) -> str | None:
        """A sentence that says which limit is exceeded, or None."""
        said = f"{rejected:,} of {read:,} rows were rejected: over the limit of"
        if self.rows is not None and rejected > self.rows:
            return f"{said} {self.rows:,} row{'' if self.rows == 1 else 's'}"
        if self.ratio is not None and rejected > self.ratio * read:
            return f"{said} {self.ratio * 100:g} %"
        return None


class DeleteLimit(Model):
    """How many rows of the table a run in mode `replace` may delete. Over either limit it fails before it does."""

    rows: int | None = Field(None, ge=0, description="The greatest number of rows that a run may delete.")
    ratio: float | None = Field(
        0.5, ge=0, le=1, description="The greatest share of the table's rows that a run may delete, from 0 to 1."
    )

    def exceeded(self, before: int, deleted: int) -> str | None:
        """A sentence that says which limit is exceeded, or None."""
        said = f"{deleted:,} of the table's {before:,} rows would be deleted: over the limit of"
        if self.rows is not None and deleted > self.rows:
            return f"{said} {self.rows:,} row{'' if self.rows == 1 else 's'}"
        if self.ratio is not None and deleted > self.ratio * before:
            return f"{said} {self.ratio * 100:g} %"
        return None


class UnpackLimit(Model):
    """The most that a packed file may hold."""

    bytes: int | None = Field(
        1 << 40, ge=1, description="The most bytes that a compressed file may hold, decompressed; null for no limit."
    )
    ratio: float | None = Field(
        300, ge=1, description="How many times its own size a compressed file may hold, from 64 MB on; null: any."
    )


class Dataset(Model):
    """One dataset: a CSV file a data interval, and the table that its rows go to."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$", description="The same as the file's name without .yaml.")
    description: str = Field("", description="Shown in the DAG's documentation.")
    source: str = Field(
        min_length=1,
        description="Path or URL of a file, a folder or a pattern, a template rendered with the data interval.",
    )
    target: str = Field(
        pattern=rf"^({IDENTIFIER}\.)?{IDENTIFIER}$", description="Table as schema.table, or table in schema public."
    )
    key: list[str] = Field([], description="Columns that identify a row.")
    mode: Literal["upsert", "append", "replace"] = Field("upsert", description="How rows enter the target.")
    duplicates: Literal["last", "first", "reject"] = Field("last", description="Which row wins for a repeated key.")
    version: str = Field("data_interval", description="data_interval, or the column that says which row is newer.")
    csv: CsvFormat = Field(default_factory=lambda: CsvFormat.model_validate({}), description="The dialect of the file.")
    columns: dict[str, Column] = Field(min_length=1, description="The table's columns by name, in order.")
    unknown_columns: Literal["ignore", "warn", "fail", "add", "rescue"] = Field(
        "ignore",
        description="What becomes of columns of the file that the dataset does not name: ignored, also with a warning;"
        " the run fails; added to the table as text; or collected in rescue_column.",
    )
    rescue_column: str | None = Field(
        None, description="Column of the table, a nullable jsonb, that unknown_columns: rescue collects cells in."
    )
    missing_columns: Literal["fail"] | None = Field(
        "fail",
        description="What becomes of columns that the file lacks: fail, or null, which is for nullable columns and"
        " those with a default.",
    )
    chunk_bytes: int = Field(
        1024 * MEBIBYTE, ge=1, le=2048 * MEBIBYTE, description="Most bytes of the file that one task loads."
    )
    block_bytes: int = Field(
        8 * MEBIBYTE, ge=1 << 16, le=256 * MEBIBYTE, description="Bytes that a task holds in memory at a time."
    )
    max_record_bytes: int = Field(
        MAX_RECORD_BYTES, ge=1 << 10, le=512 * MEBIBYTE, description="Most bytes of one record of the file."
    )
    parallel: int = Field(2, ge=1, le=64, description="How many chunks load at once.")
    reject_limit: RejectLimit = Field(
        default_factory=lambda: RejectLimit.model_validate({}), description="How many rejected rows a run may have."
    )
    delete_limit: DeleteLimit = Field(
        default_factory=lambda: DeleteLimit.model_validate({}),
        description="How many rows of the table a run in mode replace may delete.",
    )
    unpack_limit: UnpackLimit = Field(
        default_factory=lambda: UnpackLimit.model_validate({}), description="Limits on compressed files, decompressed."
    )
    schedule: str | None = Field(
        "@daily",
        description="Cron expression or preset; null for runs by hand only.",
        examples=[*interval.PRESETS],
    )
    start_date: date = Field(date(2026, 1, 1), description="The first data interval begins on this day.")
    end_date: date | None = Field(None, description="The last data interval begins on this day; null for no end.")
    catchup: bool = Field(False, description="Whether Airflow runs missed intervals by itself (catchup).")
    owner: str = Field("data", min_length=1, description="Shown in Airflow.")
    tags: list[str] = Field([], description="Shown in Airflow.")
    wait_timeout_seconds: int = Field(6 * 3600, ge=0, description="How long a run waits for a missing file.")
    clean: str | None = Field(
        None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="package.module:function that takes and returns a pandas DataFrame.",
    )
    notify: Notify | None = Field(
        None, description="Who is told of failures, warnings, lateness and recovery; null: as $MILLRACE_NOTIFY says."
    )
    fresh_by: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="Time of day, UTC as HH:MM, by which the interval's file must be in the table; null: any.",
    )
    postgres_conn_id: str = Field("warehouse", min_length=1, description="Airflow connection of the warehouse.")

    @field_validator("missing_columns", mode="before")
    @classmethod
    def _fail_or_null(cls, value: object) -> object:
        if value not in ("fail", "null", None):
            raise ValueError("must be fail or null")
        return None if value == "null" else value

    @field_validator("source")
    @classmethod
    def _renders(cls, value: str) -> str:
        template.check(value)
        return value

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if value not in interval.PRESETS and not re.fullmatch(r"[\w*/,#?-]+( +[\w*/,#?-]+){4,5}", value):
            raise ValueError(f"must be a cron expression of 5 fields or one of {', '.join(interval.PRESETS)}")
        interval.check(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        faults = [*_wrong_names(self), *_wrong_key(self), *_wrong_version(self), *_wrong_drift(self),
                  *_wrong_time(self)]  # fmt: skip
        if faults:
            raise CrossFaults(faults)
        return self

    @property
    def schema_name(self) -> str:
        """Schema of the target."""
        return self.target.rpartition(".")[0] or "public"

    @property
    def table_name(self) -> str:
        """Table of the target."""
        return self.target.rpartition(".")[2]


_NO_IDENTIFIER = f"a column's name is up to {LONGEST_NAME} letters, digits and _, and starts with no digit"


def is_reserved(name: str) -> bool:
    """Whether a column's name is one that Millrace or PostgreSQL keeps for itself."""
    return name in (*RESERVED, *SYSTEM_COLUMNS) or name.startswith("millrace_")


def sources_of(name: str, dataset: Dataset) -> tuple[str, ...]:
    """The names that a column may have in a file's header, in the order in which they are looked for."""
    source = dataset.columns[name].source
    return (name,) if source is None else (source,) if isinstance(source, str) else tuple(source)


def _wrong_names(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    if dataset.name in RESERVED_DATASETS:
        yield ("name",), f"{dataset.name} is reserved: ingest_{dataset.name} is the DAG that takes any file"
    for name in dataset.columns:
        if not re.fullmatch(IDENTIFIER, name):
            yield ("columns", name), _NO_IDENTIFIER
        elif is_reserved(name):
            yield ("columns", name), "the name is reserved; set source to it and choose another name"
    if dataset.schema_name in ("millrace", "millrace_staging", "information_schema") or re.match("pg_", dataset.target):
        yield ("target",), f"schema {dataset.schema_name} is reserved"


def _wrong_key(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    if dataset.mode == "append" and dataset.key:
        yield ("key",), "mode append takes no key; remove it or use mode upsert"
    if dataset.mode != "append" and not dataset.key:
        yield ("key",), f"mode {dataset.mode} needs the columns that identify a row"
    for number, name in enumerate(dataset.key):
        yield from ((("key", number), fault) for fault in _wrong_key_column(dataset, name))
        if name in dataset.key[:number]:
            yield ("key", number), f"{name} stands twice"


def _wrong_key_column(dataset: Dataset, name: str) -> Iterator[str]:
    column = dataset.columns.get(name)
    if column is None:
        yield f"{name} is not one of the columns{nearest(name, dataset.columns)}"
    elif column.nullable:
        yield f"{name} is nullable, and a key column must not be"
    elif column.sql_type.kind in JSONS:
        yield f"{name} is {column.sql_type.name}, which can't be a key"


def _wrong_version(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    if dataset.version == "data_interval":
        return
    column = dataset.columns.get(dataset.version)
    if column is None:
        near = nearest(dataset.version, [*dataset.columns, "data_interval"])
        yield ("version",), f"{dataset.version} is neither data_interval nor a column{near}"
    elif column.nullable:
        yield ("version",), f"{dataset.version} is nullable, so it can't say which row is newer"
    elif column.sql_type.kind not in _ORDERED:
        yield ("version",), f"{dataset.version} is {column.sql_type.name}, which has no order in time"


def _wrong_drift(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    """Faults of the fields that say what becomes of columns that change."""
    rescue = dataset.rescue_column
    if dataset.unknown_columns == "rescue" and rescue is None:
        yield ("unknown_columns",), "rescue needs rescue_column, the column of the table that takes the cells"
    if rescue is not None and dataset.unknown_columns != "rescue":
        yield ("rescue_column",), f"makes no sense with unknown_columns: {dataset.unknown_columns}"
    elif rescue is not None and not re.fullmatch(IDENTIFIER, rescue):
        yield ("rescue_column",), _NO_IDENTIFIER
    elif rescue is not None and is_reserved(rescue):
        yield ("rescue_column",), f"the name {rescue} is reserved"
    elif rescue in dataset.columns:
        yield ("rescue_column",), f"{rescue} is one of the columns, which are loaded from the file"
    if dataset.csv.header is False:
        yield from _useless_without_header(dataset)
        return
    seen: dict[str, str] = {}
    for column in dataset.columns:
        for name in sources_of(column, dataset):
            lists = (dataset.columns[one].source for one in (column, seen.get(name, column)))
            if name in seen and any(isinstance(source, list) for source in lists):
                yield ("columns", column, "source"), f"{name} is a name of column {seen[name]} as well"
            seen.setdefault(name, column)


def _useless_without_header(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    said = "makes no sense with csv.header: false, where columns have no names"
    if dataset.unknown_columns != "ignore":
        yield ("unknown_columns",), said
    if dataset.missing_columns is None:
        yield ("missing_columns",), said


def _wrong_time(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    """Only where each interval is a day is one time of day the same moment for each."""
    if dataset.fresh_by is not None and not interval.is_daily(dataset.schedule):
        yield ("fresh_by",), f"makes no sense with schedule: {dataset.schedule or 'null'}, which is not once a day"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like this one; empty where none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


_CSV_OF_LATE = ("comment", "header_lines", "skip_lines", "footer_lines", "short_rows")
_SHAPING = ("columns", "csv", "key", "mode", "duplicates", "version", "target", "clean")


def fingerprint(dataset: Dataset, hook_code: str = "", rescued: Iterable[tuple[str, int]] = ()) -> str:
    """A short stable hash of all that decides which rows come out; schedule, owner and limits don't.

    `hook_code` is a digest of the code behind `clean` (see `clean_hook.code_of`), `rescued` names the fields that go
    into the rescue column. The dataset has all columns of the run.
    """
    values = dataset.model_dump(mode="json", include=set(_SHAPING))
    if hook_code:
        values["hook_code"] = hook_code
    if named := [[name, place] for name, place in rescued]:
        values["rescued"] = named
    values["columns"] = list(values["columns"].items())
    values["csv"]["escape"] = dataset.csv.escape or dataset.csv.quote  # the default is the quote itself
    for name in _CSV_OF_LATE:  # left out, they read a file as before there were any: it need not be loaded again
        if values["csv"][name] == CsvFormat.model_fields[name].default:
            del values["csv"][name]
    values["target"] = f"{dataset.schema_name}.{dataset.table_name}"
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
