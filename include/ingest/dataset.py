"""The dataset file: what one YAML file under `include/datasets/` may say, checked before anything runs.

`load_dataset` reads a file. `python -m include.ingest.dataset --write-schema` writes the JSON Schema for editors.
"""

from __future__ import annotations

import argparse
import codecs
import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from include.ingest.errors import DatasetError
from include.ingest.sqltypes import FLOATS, JSONS, MOMENTS, NUMBERS, TEXTS, SqlType, ValueFault, read_value

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "datasets" / "dataset.schema.json"
RESERVED = ("processed_at", "source_version")
SYSTEM_COLUMNS = ("ctid", "tableoid", "xmin", "xmax", "cmin", "cmax")
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
NOT_TEXT = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined")
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
MEBIBYTE = 1 << 20

Path_ = tuple[str | int, ...]


class CrossFaults(ValueError):
    """Faults between fields, each with the path of the field that it names."""

    def __init__(self, faults: list[tuple[Path_, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in faults))
        self.faults = faults


def _word(value: Any) -> Any:
    """YAML reads bare numbers, true and false; as a word they are text again."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


Word = Annotated[str, BeforeValidator(_word)]
Bound = Annotated[int | float | str | None, BeforeValidator(_iso)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CsvFormat(_Model):
    """The dialect of the CSV file."""

    delimiter: str = Field(",", description="One ASCII character between the fields, such as ',' or '\\t'.")
    quote: str | None = Field('"', description="One ASCII character around quoted fields, or null for none.")
    escape: str | None = Field(
        '"', description="The quote itself (a doubled quote stands for one), or one other character such as '\\'."
    )
    encoding: str = Field("utf-8", description="A Python codec in which bytes below 0x80 are always ASCII.")
    header: bool = Field(True, description="Whether the first record names the columns.")
    nulls: list[Word] = Field([""], description="Cells with exactly this text are null.")

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not (value == "\t" or " " <= value <= "~")):
            raise ValueError("must be one printable ASCII character or a tab")
        return value

    @field_validator("encoding")
    @classmethod
    def _usable_encoding(cls, value: str) -> str:
        return usable_encoding(value)

    @model_validator(mode="after")
    def _distinct(self) -> CsvFormat:
        faults: list[tuple[Path_, str]] = []
        if self.delimiter in (self.quote, self.escape):
            faults.append((("delimiter",), "must differ from quote and escape"))
        if self.quote is None and self.escape not in (None, '"'):
            faults.append((("escape",), "has no use without a quote; remove it"))
        if faults:
            raise CrossFaults(faults)
        return self


@lru_cache
def usable_encoding(name: str) -> str:
    """The codec's own name. Raises ValueError unless its bytes below 0x80 are always ASCII and whole characters."""
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except LookupError:
        raise ValueError(f"{name} is not a known encoding") from None
    if codec.name == "utf-8-sig":
        return "utf-8"
    if codec.name != "utf-8" and (codec.name in NOT_TEXT or not _keeps_ascii(codec.name)):
        raise ValueError(
            f"in {name}, a byte below 0x80 may be part of another character, so a file can't be cut safely;"
            f" convert it first: iconv -f {name} -t utf-8"
        )
    return codec.name


_FILLER = "A" * 8  # longer than the longest sequence of any codec, so that none is cut short by the end


def _keeps_ascii(codec: str) -> bool:
    """Try it: every ASCII byte alone, and after every lead of one or two high bytes."""
    high = [bytes([lead]) for lead in range(0x80, 0x100)]
    pairs = [first + second for first in high for second in high]
    every = [chr(code) for code in range(0x80)]

    def survives(lead: bytes, letter: str) -> bool:
        return (lead + (letter + _FILLER).encode()).decode(codec, "replace").endswith(letter + _FILLER)

    try:
        return (
            all(letter.encode().decode(codec) == letter for letter in every)
            and all(survives(lead, letter) for lead in high for letter in every)
            and all(survives(lead, letter) for lead in pairs for letter in '\n",')
        )
    except (UnicodeError, LookupError):
        return False


class Column(_Model):
    """One column: its type and the rules for its values."""

    type: str = Field(
        description="A PostgreSQL type: smallint, integer, bigint, numeric(p,s), real, double precision, text,"
        " varchar(n), boolean, date, time, timestamp, timestamptz, uuid, json, jsonb or bytea.",
        examples=["bigint", "numeric(12,2)", "varchar(16)", "timestamptz"],
    )
    nullable: bool = Field(False, description="Whether the value may be missing.")
    trim: bool = Field(False, description="Whether white space around the value is removed first.")
    source: str | None = Field(None, description="The column's name in the file's header; its own name by default.")
    default: Word | None = Field(None, description="Text that stands in for a missing value.")
    formats: list[str] = Field([], description="strptime formats of dates and times, tried in order; ISO 8601 if none.")
    timezone: str = Field("UTC", description="IANA zone of timestamptz values that carry no offset.")
    decimal_mark: Literal[".", ","] = Field(".", description="The mark before the fraction.")
    thousands_mark: str | None = Field(None, description="One character between groups of three digits.")
    true_words: list[Word] = Field(["true", "t", "yes", "y", "on", "1"], description="Words for true, in any case.")
    false_words: list[Word] = Field(["false", "f", "no", "n", "off", "0"], description="Words for false, in any case.")
    min: Bound = Field(None, description="The least value.")
    max: Bound = Field(None, description="The greatest value.")
    min_length: int | None = Field(None, ge=0, description="The least number of characters (bytes of a bytea).")
    max_length: int | None = Field(None, ge=0, description="The greatest number of characters (bytes of a bytea).")
    pattern: str | None = Field(None, description="RE2 regular expression that the whole value must match.")
    allowed: list[str | int | float | bool] | None = Field(None, min_length=1, description="All values there may be.")

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        SqlType.parse(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{value} is not an IANA time zone, such as Europe/Berlin") from None
        return value

    @field_validator("pattern")
    @classmethod
    def _known_pattern(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                pc.match_substring_regex(pa.array([""]), rf"\A(?:{value})\z")
        except pa.ArrowInvalid as error:
            raise ValueError(f"not an RE2 pattern: {error}") from None
        return value

    @field_validator("thousands_mark")
    @classmethod
    def _known_mark(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value.isalnum() or value in "+-"):
            raise ValueError("must be one character, and no letter, digit or sign")
        return value

    @field_validator("true_words", "false_words")
    @classmethod
    def _some_words(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("needs one word at least")
        return value

    @model_validator(mode="after")
    def _fits_type(self) -> Column:
        faults = [*_useless_options(self), *_wrong_values(self)]
        if not faults:
            faults = list(_wrong_default(self))
        if faults:
            raise CrossFaults(faults)
        return self

    @cached_property
    def sql_type(self) -> SqlType:
        """The parsed type."""
        return SqlType.parse(self.type)

    @cached_property
    def bounds(self) -> dict[str, pa.Scalar]:
        """`min` and `max`, where given, in the column's own type."""
        given = {"min": self.min, "max": self.max}
        return {rule: self._scalar(value) for rule, value in given.items() if value is not None}

    @cached_property
    def allowed_values(self) -> pa.Array | None:
        """`allowed`, where given, in the column's own type."""
        if self.allowed is None:
            return None
        return pa.array([self._scalar(value).as_py() for value in self.allowed], self.sql_type.arrow)

    def _scalar(self, value: str | int | float) -> pa.Scalar:
        text = _word(value)
        return pa.scalar(read_value(text, self.sql_type, self.timezone), self.sql_type.arrow)


_ORDERED = (*NUMBERS, *MOMENTS)
_USES = {
    "formats": MOMENTS, "timezone": ("timestamptz",), "decimal_mark": ("numeric", *FLOATS), "thousands_mark": NUMBERS,
    "true_words": ("boolean",), "false_words": ("boolean",), "min": _ORDERED, "max": _ORDERED,
    "min_length": (*TEXTS, "bytea"), "max_length": (*TEXTS, "bytea"), "pattern": TEXTS,
    "allowed": (*NUMBERS, *MOMENTS, *TEXTS, "boolean", "uuid"),
}  # fmt: skip


def _useless_options(column: Column) -> Iterator[tuple[Path_, str]]:
    for name, kinds in _USES.items():
        if name in column.model_fields_set and getattr(column, name) is not None and column.sql_type.kind not in kinds:
            yield (name,), f"makes no sense for {column.sql_type.name}; it is for {', '.join(kinds)}"


def _wrong_values(column: Column) -> Iterator[tuple[Path_, str]]:
    given: list[tuple[Path_, Any]] = [(("min",), column.min), (("max",), column.max)]
    given += [(("allowed", number), value) for number, value in enumerate(column.allowed or [])]
    wrong = False
    for path, value in given:
        if value is not None and column.sql_type.kind in _USES[str(path[0])]:
            try:
                column._scalar(value)
            except ValueFault as fault:
                wrong = True
                yield path, f"{value!r} does not fit {column.sql_type.name}: {fault.reason}"
    if not wrong and len(column.bounds) == 2 and pc.greater(column.bounds["min"], column.bounds["max"]).as_py():
        yield ("max",), "is less than min"
    if None not in (column.min_length, column.max_length) and (column.min_length or 0) > (column.max_length or 0):
        yield ("max_length",), "is less than min_length"
    if column.thousands_mark == column.decimal_mark:
        yield ("thousands_mark",), "is the decimal mark as well"
    both = {word.casefold() for word in column.true_words} & {word.casefold() for word in column.false_words}
    if both:
        yield ("false_words",), f"{', '.join(sorted(both))} stands in true_words as well"
    if column.sql_type.kind in MOMENTS:
        for number, form in enumerate(column.formats):
            complaint = _wrong_format(form, column.sql_type.kind)
            if complaint:
                yield ("formats", number), complaint


def _wrong_format(form: str, kind: str) -> str | None:
    """Write a moment in the format and read it again: what the type needs must survive."""
    if re.search("%[zZ]", form) and (kind != "timestamptz" or "%Z" in form):
        return "%z is for timestamptz, and %Z names no certain offset"
    moment = datetime(2026, 11, 23, 17, 45, 56).astimezone(ZoneInfo("UTC"))
    moment = moment.replace(hour=17, day=23, minute=45)
    try:
        again = datetime.strptime(moment.strftime(form), form)
    except ValueError as error:
        return f"not a format that strptime reads: {error}"
    if kind != "time" and again.date() != moment.date():
        return "needs a year, a month and a day"
    if kind == "time" and again.hour != moment.hour:
        return "needs an hour (%H, or %I with %p)"
    return None


def _wrong_default(column: Column) -> Iterator[tuple[Path_, str]]:
    from include.ingest.cast import cast_column

    if column.default is not None:
        _, faults = cast_column(pa.array([column.default.encode()], pa.binary()), column, [])
        for fault in faults:
            yield ("default",), f"{column.default!r} does not fit the column: {fault.reason}"


class RejectLimit(_Model):
    """How many rejected rows a run may have. Over either limit it fails; null switches a limit off."""

    rows: int | None = Field(1000, ge=0, description="The greatest number of rejected rows.")
    ratio: float | None = Field(0.01, ge=0, le=1, description="The greatest share of rejected rows, from 0 to 1.")

    def exceeded(self, read: int, rejected: int) -> str | None:
        """A sentence that says which limit is exceeded, or None."""
        said = f"{rejected:,} of {read:,} rows were rejected: over the limit of"
        if self.rows is not None and rejected > self.rows:
            return f"{said} {self.rows:,} rows"
        if self.ratio is not None and rejected > self.ratio * read:
            return f"{said} {self.ratio * 100:g} %"
        return None


class Dataset(_Model):
    """One dataset: a CSV file a data interval, and the table that its rows go to."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$", description="The same as the file's name without .yaml.")
    description: str = Field("", description="Shown in the DAG's documentation.")
    source: str = Field(min_length=1, description="Path of the file, a template rendered with the data interval.")
    target: str = Field(
        pattern=rf"^({IDENTIFIER}\.)?{IDENTIFIER}$", description="Table as schema.table, or table in schema public."
    )
    key: list[str] = Field([], description="Columns that identify a row.")
    mode: Literal["upsert", "append", "replace"] = Field("upsert", description="How rows enter the target.")
    duplicates: Literal["last", "first", "reject"] = Field("last", description="Which row of a repeated key wins.")
    version: str = Field("data_interval", description="data_interval, or the column that says which row is newer.")
    csv: CsvFormat = Field(default_factory=lambda: CsvFormat.model_validate({}), description="The dialect of the file.")
    columns: dict[str, Column] = Field(min_length=1, description="The table's columns by name, in order.")
    chunk_bytes: int = Field(
        512 * MEBIBYTE, ge=1, le=2048 * MEBIBYTE, description="Most bytes of the file that one task loads."
    )
    block_bytes: int = Field(
        8 * MEBIBYTE, ge=1 << 16, le=256 * MEBIBYTE, description="Bytes that a task holds in memory at a time."
    )
    parallel: int = Field(2, ge=1, le=64, description="How many chunks load at once.")
    reject_limit: RejectLimit = Field(
        default_factory=lambda: RejectLimit.model_validate({}), description="How many rejected rows a run may have."
    )
    schedule: str | None = Field("@daily", description="Cron expression or preset; null for runs by hand only.")
    start_date: date = Field(date(2026, 1, 1), description="The first data interval begins on this day.")
    end_date: date | None = Field(None, description="The last data interval begins on this day; null for no end.")
    catchup: bool = Field(False, description="Whether missed intervals run by themselves.")
    owner: str = Field("data", min_length=1, description="Shown in Airflow.")
    tags: list[str] = Field([], description="Shown in Airflow.")
    wait_timeout_seconds: int = Field(6 * 3600, ge=0, description="How long a run waits for a missing file.")
    clean: str | None = Field(
        None,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="package.module:function that gets and returns a pandas frame.",
    )
    postgres_conn_id: str = Field("warehouse", min_length=1, description="Airflow connection of the warehouse.")

    @field_validator("source")
    @classmethod
    def _renders(cls, value: str) -> str:
        from jinja2 import Environment, TemplateSyntaxError

        try:
            Environment(autoescape=True).parse(value)
        except TemplateSyntaxError as error:
            raise ValueError(f"not a template: {error}") from None
        return value

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str | None) -> str | None:
        if value is not None and value not in PRESETS and not re.fullmatch(r"[\w*/,#?-]+( +[\w*/,#?-]+){4,5}", value):
            raise ValueError(f"must be a cron expression of 5 fields or one of {', '.join(PRESETS)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        faults = [*_wrong_names(self), *_wrong_key(self), *_wrong_version(self)]
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


def _wrong_names(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    for name in dataset.columns:
        if not re.fullmatch(IDENTIFIER, name):
            yield ("columns", name), "a column's name is up to 63 letters, digits and _, and starts with no digit"
        elif name in (*RESERVED, *SYSTEM_COLUMNS) or name.startswith("millrace_"):
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
        yield f"{name} is not one of the columns{_nearest(name, dataset.columns)}"
    elif column.nullable:
        yield f"{name} is nullable, and a key column must not be"
    elif column.sql_type.kind in JSONS:
        yield f"{name} is {column.sql_type.name}, which can't be a key"


def _wrong_version(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    if dataset.version == "data_interval":
        return
    column = dataset.columns.get(dataset.version)
    if column is None:
        near = _nearest(dataset.version, [*dataset.columns, "data_interval"])
        yield ("version",), f"{dataset.version} is neither data_interval nor a column{near}"
    elif column.nullable:
        yield ("version",), f"{dataset.version} is nullable, so it can't say which row is newer"
    elif column.sql_type.kind not in _ORDERED:
        yield ("version",), f"{dataset.version} is {column.sql_type.name}, which has no order in time"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


# The file


class _Loader(yaml.SafeLoader):
    """YAML with the plain words of YAML 1.2: yes, no, on and off are text, and so are dates and 10:30."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def load_dataset(path: Path) -> Dataset:
    """Read and check a dataset file. Raises DatasetError with one line a fault: file, line, field and what is wrong."""
    node, values = _read_yaml(path)
    try:
        dataset = Dataset.model_validate(values)
    except ValidationError as error:
        raise _error(path, [(_line(node, where), where, text) for where, text in _faults(error)]) from None
    if dataset.name != path.stem:
        text = f"{dataset.name} is not the file's name, {path.stem}; they must be the same"
        raise _error(path, [(_line(node, ("name",)), ("name",), text)])
    return dataset


def _error(path: Path, faults: Iterable[tuple[int, Path_, str]]) -> DatasetError:
    lines = [
        f"{path}:{line}: {'.'.join(map(str, where))}{': ' if where else ''}{text}"
        for line, where, text in sorted(faults, key=lambda fault: fault[0])
    ]
    return DatasetError("\n".join(lines))


def _read_yaml(path: Path) -> tuple[yaml.Node, Any]:
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise _error(path, [(1, (), "must hold a mapping such as `name: orders`")])
        twice = list(_repeated_keys(node, ()))
        if twice:
            raise _error(path, twice)
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _error(path, [(line, (), f"not YAML: {error.problem or error.context}")]) from None
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise DatasetError(f"{path}: can't be read: {error}") from None


def _repeated_keys(node: yaml.Node, where: Path_) -> Iterator[tuple[int, Path_, str]]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated_keys(item, (*where, number))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.value) in seen:
                yield line, (*where, str(key.value)), f"stands twice, first at line {seen[str(key.value)]}"
            seen.setdefault(str(key.value), line)
            yield from _repeated_keys(value, (*where, str(key.value)))


def _line(node: yaml.Node, where: Path_) -> int:
    """The line of the deepest part of the path that the file holds."""
    line = node.start_mark.line + 1
    for part in where:
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if str(pair[0].value) == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pairs = [(node.value[part], node.value[part])]
        if not pairs:
            break
        line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
    return line


def _faults(error: ValidationError) -> Iterator[tuple[Path_, str]]:
    """Each fault's path in the file and what is wrong, in words of the file."""
    said = set()
    for fault in error.errors():
        where = _path(fault["loc"])
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, CrossFaults):
            yield from (((*where, *path), text) for path, text in cause.faults)
        elif where not in said or len(where) == len(fault["loc"]):
            said.add(where)
            yield where, _message(fault, where)


_UNION_PARTS = {"str", "int", "float", "bool", "function-before[_iso(), union[int,float,str]]"}


def _path(loc: tuple[str | int, ...]) -> Path_:
    """A pydantic location without the names of a union's members."""
    if len(loc) > 1 and isinstance(loc[-1], str) and loc[-1] in _UNION_PARTS and loc[0] == "columns" and len(loc) > 3:
        return loc[:-1]
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _message(fault: Mapping[str, Any], where: Path_) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown field{_nearest(str(where[-1]), _known_fields(where[:-1]))}"
    if fault["type"] == "missing":
        return "is missing"
    text = str(fault["msg"]).removeprefix("Value error, ")
    shown = fault.get("input")
    short = isinstance(shown, (str, int, float, bool)) and len(str(shown)) < 80 and str(shown) not in text
    return f"{text} (not {shown!r})" if short else text


def _known_fields(where: Path_) -> Iterable[str]:
    models: dict[str, type[_Model]] = {"csv": CsvFormat, "columns": Column, "reject_limit": RejectLimit}
    return models.get(str(where[0]) if where else "", Dataset).model_fields


# The schema and the fingerprint


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a dataset file."""
    schema = Dataset.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Millrace dataset"
    return schema


def schema_text() -> str:
    """The schema as it stands in the committed file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


_SHAPING = ("columns", "csv", "key", "mode", "duplicates", "version", "target", "clean")


def fingerprint(dataset: Dataset) -> str:
    """A short stable hash of all that decides which rows come out; schedule, owner and limits don't."""
    values = dataset.model_dump(mode="json", include=set(_SHAPING))
    values["columns"] = list(values["columns"].items())
    values["target"] = f"{dataset.schema_name}.{dataset.table_name}"
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def main(arguments: list[str] | None = None) -> None:
    """Write the schema file, or print it."""
    parser = argparse.ArgumentParser(prog="python -m include.ingest.dataset", description="The dataset file's schema.")
    parser.add_argument("--write-schema", action="store_true", help=f"write {SCHEMA_FILE.name} instead of printing it")
    if parser.parse_args(arguments).write_schema:
        SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    else:
        print(schema_text(), end="")


if __name__ == "__main__":
    main()
