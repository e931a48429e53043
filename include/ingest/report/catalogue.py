"""The dataset files, read again when they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from include.ingest.dataset.definition import Dataset
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import DatasetError
from include.ingest.table.name import TableName
from include.ingest.table.target import SOURCE_VERSION, system_columns

SHOWN_ROWS = 100


@dataclass(frozen=True)
class Entry:
    """A dataset file: what it says, or what is wrong with it."""

    name: str  # of the file, without .yaml
    text: str
    dataset: Dataset | None
    fault: str | None
    place: str = ""  # the whole path


@dataclass
class Catalogue:
    """The files of some folders; of two with the same name the first one counts."""

    folders: tuple[Path, ...]
    _read: dict[Path, tuple[tuple[int, int], Entry]] = field(default_factory=dict)

    def entries(self) -> dict[str, Entry]:
        """Every dataset file by name. A file is parsed once, as that takes 10 ms, until its time or size changes."""
        found: dict[str, Entry] = {}
        for folder in self.folders:
            for file in sorted(folder.glob("*.yaml")):
                found.setdefault(file.stem, self._entry(file))
        return found

    def _entry(self, file: Path) -> Entry:
        try:
            status = file.stat()
            mark = (status.st_mtime_ns, status.st_size)
            known = self._read.get(file)
            if known is None or known[0] != mark:
                known = self._read[file] = (mark, _parsed(file))
            return known[1]
        except OSError as error:  # it has gone since the folder was listed
            return Entry(file.stem, "", None, f"{file.name}: can't be read: {error.strerror}")


def _parsed(file: Path) -> Entry:
    text = file.read_bytes().decode("utf-8", "backslashreplace")
    try:
        return Entry(file.stem, text, load_dataset(file), None, str(file))
    except DatasetError as error:
        return Entry(file.stem, text, None, str(error).replace(str(file), file.name), str(file))


def query_of(dataset: Dataset) -> str:
    """SQL that shows the newest rows of the target, with every column by name."""
    system = system_columns(dataset)
    names = [*dataset.columns, *system]
    order = SOURCE_VERSION if SOURCE_VERSION in system else next(iter(system))
    query = sql.SQL("SELECT {}\nFROM {}\nORDER BY {} DESC\nLIMIT {};").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        TableName(dataset.schema_name, dataset.table_name),
        sql.Identifier(order),
        sql.Literal(SHOWN_ROWS),
    )
    return query.as_string(None)


def columns_of(dataset: Dataset) -> list[dict[str, object]]:
    """The columns in order, each with its type, whether it is a key, and its other fields that are not the default."""
    columns = []
    for name, column in dataset.columns.items():
        fields = column.model_dump(mode="json", exclude_defaults=True)
        rules = {key: value for key, value in fields.items() if key not in ("type", "nullable", "source")}
        columns.append(
            {"name": name, "type": column.type, "nullable": column.nullable, "key": name in dataset.key,
             "source": fields.get("source", name), "rules": rules}
        )  # fmt: skip
    return columns
