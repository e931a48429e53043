"""Reads dataset files: a fault is named with file, line and field.

`python -m include.ingest.dataset_file --write-schema` writes the JSON Schema for editors.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pydantic import ValidationError

from include.ingest.cast import cast_column
from include.ingest.dataset.columns import Column, CrossFaults, CsvFormat, Model, Path_
from include.ingest.dataset.definition import Dataset, DeleteLimit, RejectLimit, UnpackLimit, nearest
from include.ingest.errors import DatasetError
from include.own_folders import is_open

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "datasets" / "dataset.schema.json"


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


def load_dataset(path: Path, *, kept: bool = True) -> Dataset:
    """Read and check a dataset file. Raises DatasetError with one line a fault: file, line, field and what is wrong.

    One that is not `kept` is a text that is looked at and never run.
    """
    node, values = _read_yaml(path)
    try:
        dataset = Dataset.model_validate(values)
    except ValidationError as error:
        raise _error(path, [(_line(node, where), where, text) for where, text in _faults(error)]) from None
    faults = [*_wrong_defaults(dataset), *(_open_code(dataset, path.parent) if kept else ())]
    wrong = [(_line(node, where), where, text) for where, text in faults]
    if wrong:
        raise _error(path, wrong)
    if dataset.name != path.stem:
        text = f"{dataset.name} is not the file's name, {path.stem}; they must be the same"
        raise _error(path, [(_line(node, ("name",)), ("name",), text)])
    return dataset


def place_in(path: Path, where: Path_) -> str:
    """Where a field of a readable dataset file stands: file, line and field, as in its faults."""
    node, _ = _read_yaml(path)
    return f"{path}:{_line(node, where)}: {'.'.join(map(str, where))}"


def _wrong_defaults(dataset: Dataset) -> Iterator[tuple[Path_, str]]:
    for name, column in dataset.columns.items():
        if column.default is not None:
            _, faults = cast_column(pa.array([column.default.encode()], pa.binary()), column, [])
            for fault in faults:
                yield ("columns", name, "default"), f"{column.default!r} does not fit the column: {fault.reason}"


def _open_code(dataset: Dataset, folder: Path) -> Iterator[tuple[Path_, str]]:
    """Notifiers run in the triggerer and the DAG processor, which have secrets that whoever writes here has not."""
    if dataset.notify and is_open(folder):
        for number, one in enumerate(dataset.notify.to):
            if isinstance(one, dict):
                text = f"a notifier is code, and {folder} can be written to: mount it read-only, or name a Connection"
                yield ("notify", "to", number), text


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
                yield line, (*where, str(key.value)), f"appears twice, first at line {seen[str(key.value)]}"
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
        return f"unknown field{nearest(str(where[-1]), _known_fields(where[:-1]))}"
    if fault["type"] == "missing":
        return "is missing"
    text = str(fault["msg"]).removeprefix("Value error, ")
    shown = fault.get("input") if where[:1] != ("notify",) else None  # there it may be a token
    short = isinstance(shown, (str, int, float, bool)) and len(str(shown)) < 80 and str(shown) not in text
    return f"{text} (not {shown!r})" if short else text


def _known_fields(where: Path_) -> Iterable[str]:
    models: dict[str, type[Model]] = {
        "csv": CsvFormat,
        "columns": Column,
        "reject_limit": RejectLimit,
        "delete_limit": DeleteLimit,
        "unpack_limit": UnpackLimit,
    }
    return models.get(str(where[0]) if where else "", Dataset).model_fields


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a dataset file."""
    schema = Dataset.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Millrace dataset"
    return schema


def schema_text() -> str:
    """The schema as it stands in the committed file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the schema file, or print it."""
    parser = argparse.ArgumentParser(
        prog="python -m include.ingest.dataset_file", description="The dataset file's schema."
    )
    parser.add_argument("--write-schema", action="store_true", help=f"write {SCHEMA_FILE.name} instead of printing it")
    if parser.parse_args(arguments).write_schema:
        SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    else:
        print(schema_text(), end="")


if __name__ == "__main__":
    main()
