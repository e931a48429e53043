"""How a dataset file describes its CSV dialect and its columns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from include.ingest.dataset.encodings import usable_encoding
from include.ingest.dataset.sql_types import FLOATS, MOMENTS, NUMBERS, TEXTS, SqlType, ValueFault, read_value

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


class Model(BaseModel):
    """A part of a dataset file: fields that it does not name are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CsvFormat(Model):
    """The dialect of the CSV file."""

    delimiter: str = Field(",", description="One ASCII character between the fields, such as ',' or '\\t'.")
    quote: str | None = Field('"', description="One ASCII character around quoted fields, or null for none.")
    escape: str | None = Field(
        None,
        description="One ASCII character such as '\\' that makes the next one literal, within quotes and outside; null,"
        " or the quote itself: a doubled quote within quotes stands for one.",
    )
    encoding: str = Field("utf-8", description="A Python codec in which bytes below 0x80 are always ASCII.")
    comment: str | None = Field(
        None, description="One ASCII character: a line that begins with it, outside quotes, is no record."
    )
    header: bool | Literal["search"] = Field(
        True,
        description="Whether the first record names the columns; search: the first one that names all of them, within"
        " the first 200 lines and 64 kB, whatever stands above it.",
    )
    header_lines: int = Field(
        1,
        ge=1,
        le=16,
        description="How many records the header has; the texts of a column are joined by a space, from above.",
    )
    skip_lines: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="How many physical lines of each file are left out before the header or the first record, whatever"
        " they hold.",
    )
    footer_lines: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="How many records at the end of each file are no data, such as a line of totals.",
    )
    short_rows: Literal["reject", "fill"] = Field(
        "reject",
        description="Whether a record with fewer fields than the header is rejected, or filled with nulls.",
    )
    nulls: list[Word] = Field([""], description="Cells with exactly this text are null.")

    @field_validator("delimiter", "quote", "escape", "comment")
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
        if self.comment and self.comment in (self.delimiter, self.quote, self.escape):
            faults.append((("comment",), "must differ from delimiter, quote and escape"))
        if self.header_lines > 1 and not self.header:
            faults.append((("header_lines",), "makes no sense where `header` is false"))
        if faults:
            raise CrossFaults(faults)
        return self


class Column(Model):
    """One column: its type and the rules for its values."""

    type: str = Field(
        description="A PostgreSQL type: smallint, integer, bigint, numeric(p,s), real, double precision, text,"
        " varchar(n), boolean, date, time, timestamp, timestamptz, uuid, json, jsonb or bytea.",
        examples=[
            "bigint",
            "text",
            "numeric(12,2)",
            "timestamptz",
            "date",
            "boolean",
            "varchar(16)",
            "integer",
            "smallint",
            "real",
            "double precision",
            "time",
            "timestamp",
            "uuid",
            "json",
            "jsonb",
            "bytea",
        ],
    )
    nullable: bool = Field(False, description="Whether the value may be missing.")
    trim: bool = Field(False, description="Whether white space around the value is removed first.")
    source: str | list[str] | None = Field(
        None,
        min_length=1,
        description="The column's name in the file's header, or a list of names of which a header holds one; its own"
        " name by default.",
        examples=["Order No.", ["order_no", "Order No."]],
    )
    default: Word | None = Field(None, description="Text that stands in for a missing value.")
    formats: list[str] = Field([], description="strptime formats of dates and times, tried in order; ISO 8601 if none.")
    timezone: str = Field("UTC", description="IANA zone of timestamptz values that carry no offset.")
    decimal_mark: Literal[".", ","] = Field(".", description="The decimal mark.")
    thousands_mark: str | None = Field(None, description="The thousands separator, one character.")
    true_words: list[Word] = Field(["true", "t", "yes", "y", "on", "1"], description="Words for true, in any case.")
    false_words: list[Word] = Field(["false", "f", "no", "n", "off", "0"], description="Words for false, in any case.")
    min: Bound = Field(None, description="The least value.")
    max: Bound = Field(None, description="The greatest value.")
    min_length: int | None = Field(None, ge=0, description="The least number of characters (bytes of a bytea).")
    max_length: int | None = Field(None, ge=0, description="The greatest number of characters (bytes of a bytea).")
    pattern: str | None = Field(None, description="RE2 regular expression that the whole value must match.")
    allowed: list[str | int | float | bool] | None = Field(None, min_length=1, description="The allowed values.")

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        SqlType.parse(value)
        return value

    @field_validator("source", mode="before")
    @classmethod
    def _named_once(cls, value: Any) -> Any:
        if value is None:
            return value
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError("must be a name or a list of names, in quotes where a name is a number")
        for name in names:
            if not name.strip() or name != name.strip():
                raise ValueError(f"{name!r} begins or ends with white space, or is empty: a header's names never do")
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice")
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
USES = {
    "formats": MOMENTS, "timezone": ("timestamptz",), "decimal_mark": ("numeric", *FLOATS), "thousands_mark": NUMBERS,
    "true_words": ("boolean",), "false_words": ("boolean",), "min": _ORDERED, "max": _ORDERED,
    "min_length": (*TEXTS, "bytea"), "max_length": (*TEXTS, "bytea"), "pattern": TEXTS,
    "allowed": (*NUMBERS, *MOMENTS, *TEXTS, "boolean", "uuid"),
}  # fmt: skip


def _useless_options(column: Column) -> Iterator[tuple[Path_, str]]:
    for name, kinds in USES.items():
        if name in column.model_fields_set and getattr(column, name) is not None and column.sql_type.kind not in kinds:
            yield (name,), f"makes no sense for {column.sql_type.name}; it is for {', '.join(kinds)}"


def _wrong_values(column: Column) -> Iterator[tuple[Path_, str]]:
    given: list[tuple[Path_, Any]] = [(("min",), column.min), (("max",), column.max)]
    given += [(("allowed", number), value) for number, value in enumerate(column.allowed or [])]
    wrong = False
    for path, value in given:
        if value is not None and column.sql_type.kind in USES[str(path[0])]:
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
        yield ("false_words",), f"{', '.join(sorted(both))} is in true_words as well"
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a day without a year, which is refused below
            again = datetime.strptime(moment.strftime(form), form)
    except ValueError as error:
        return f"not a format that strptime reads: {error}"
    if kind != "time" and again.date() != moment.date():
        return "needs a year, a month and a day"
    if kind == "time" and again.hour != moment.hour:
        return "needs an hour (%H, or %I with %p)"
    return None
