"""Files as they come: dialect, layout, encoding and keys; the dataset file loads, and PostgreSQL takes the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from bench.infer import odd
from bench.infer.truth import right, types_right
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import IngestError
from include.ingest.infer import names
from include.ingest.infer.compose import compose, doubts_of, warnings_of
from tests.ingest.infer.judging import judge, problems
from tests.ingest.infer.test_types import look_at

ODD = {file.name: file for file in odd.files(160)}
# Some of each kind: all 200 are judged by `./run bench infer`.
INGESTED = [name for number, name in enumerate(ODD) if number % 8 == 0 or "short" in name]


@pytest.mark.parametrize("name", INGESTED)
def test_odd_files_are_told_right_and_ingested_as_announced(
    warehouse: psycopg.Connection[Any], tmp_path: Path, name: str
) -> None:
    from bench.infer import ours

    file = ODD[name]
    judged = judge(warehouse, tmp_path, file.data)
    assert problems(judged) == []
    assert judged.account.inserted == file.truth.rows - judged.account.rejected
    told = ours.tell(tmp_path / "judged.csv")
    assert all(right(file.truth, told).values()), told
    assert types_right(file.truth, told)[0] == len(file.truth.types), told
    assert not file.truth.key or told.key == file.truth.key


def csv_of(folder: Path, text: str | bytes) -> dict[str, Any]:
    """What is written about the dialect of a file."""
    found = look_at(folder, text)
    return dict(yaml.safe_load(compose(found, "file", "{{ inbox }}/file.csv", "file.csv"))["csv"])


TABLE = "id;name;price\n" + "".join(f"{n};thing {n};{n}.5\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TABLE, {}),
        ("Monthly report\nby: somebody\n\n" + TABLE, {"skip_lines": 3}),
        (TABLE + "Total rows: 29\n", {"footer_lines": 1}),
        (TABLE + "\nTotal;;432.5\n", {"footer_lines": 1}),
        (TABLE.replace("5;thing 5", "# seen by me\n5;thing 5", 1), {"comment": "#"}),
        (TABLE.replace(";3.5\n", "\n").replace(";6.5\n", "\n"), {"short_rows": "fill"}),
        (TABLE.partition("\n")[2], {"header": False}),
        (TABLE.replace("name", "id", 1), {"header": False, "skip_lines": 1}),
        ("# id;name;price\n" + TABLE.partition("\n")[2], {}),
        ("id;name;price\n#;text;EUR\n" + TABLE.partition("\n")[2], {"header": False, "skip_lines": 2}),
    ],
    ids=["plain", "above", "below", "total", "comment", "short", "none", "twice", "marked header", "units"],
)
def test_the_layout_is_written_down(tmp_path: Path, text: str, wanted: dict[str, Any]) -> None:
    plain = {"delimiter": ";", "quote": '"', "encoding": "utf-8", "header": True, "nulls": [""]}
    assert csv_of(tmp_path, text) == {**plain, **wanted}


def test_a_record_of_another_width_in_the_middle_is_announced(tmp_path: Path) -> None:
    text = TABLE.replace("7;thing 7;7.5", "7;thing 7;7.5;more").replace("9;thing 9;9.5", "9;thing 9")
    assert warnings_of(look_at(tmp_path, text)) == [
        "1 row with fewer than 3 fields would be rejected: line 10 (2)",
        "1 row with more than 3 fields would be rejected: line 8 (4)",
    ]


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("utf-8", "Größe"), ("cp1252", "Größe “quoted” 5 €"), ("cp1251", "Москва и область"),
     ("cp1250", "Łódź, Kraków, Poznań, też"),
     ("koi8-r", "Москва и область"), ("cp437", "Größe Köln für")],
)  # fmt: skip
def test_encodings(tmp_path: Path, encoding: str, word: str) -> None:
    text = "id;text\n" + "".join(f"{n};{word} {n}\n" for n in range(40))
    assert csv_of(tmp_path, text.encode(encoding))["encoding"] == encoding


def test_one_sign_decides_where_all_letters_read_alike(tmp_path: Path) -> None:
    lines = "".join(f"Müller {n};{n}\n" for n in range(400))
    found = look_at(tmp_path, ("name;price in €\n" + lines).encode("cp1252"))
    assert (found.encoding.name, found.encoding.others, doubts_of(found)) == ("cp1252", (), [])


def test_an_encoding_that_shows_late_is_found(tmp_path: Path) -> None:
    text = "id;text\n" + "".join(f"{n};plain words that fill a line of the file {n}\n" for n in range(60_000))
    data = text.encode() + "60000;Größe und Straße\n".encode("cp1252")
    assert len(data) > 3 << 20, "beyond the head"
    found = look_at(tmp_path, data)
    assert (found.encoding.name, found.rows) == ("cp1252", 60_001)


def test_few_damaged_letters_do_not_make_it_another_encoding(tmp_path: Path) -> None:
    text = "id;text\n" + "".join(f"{n};Größe für {n}\n" for n in range(200))
    data = text.encode().replace("Größe für 100\n".encode(), b"Gr\xf6\xdfe\n")
    found = look_at(tmp_path, data)
    assert found.encoding.name == "utf-8"
    assert warnings_of(found) == ["1 row with bytes that are no UTF-8 would be rejected, the first on line 102"]


def test_a_quote_that_is_never_closed_has_no_meaning(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    text = "id,size\n" + "".join(f"{n},{n} inch\n" for n in range(1, 80)) + '80,"8 inch\n81,9 inch\n'
    judged = judge(warehouse, tmp_path, text.encode())
    assert judged.found.style.quote is None
    assert "quotes have no meaning here, as one is never closed" in doubts_of(judged.found)[0]
    assert (problems(judged), judged.account.inserted) == ([], 81)


def key_of(folder: Path, text: str, asked: str = "") -> tuple[str, ...]:
    """The names of the key's columns."""
    found = look_at(folder, text, [asked] if asked else [])
    return tuple(found.names[number] for number in found.key.columns)


def table(*columns: tuple[str, list[Any]]) -> str:
    """A file of these columns."""
    rows = zip(*(values for _, values in columns), strict=True)
    head = ",".join(name for name, _ in columns)
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


MANY = range(200)
AMOUNTS = ("amount", [f"{n * 7 % 997}.{n % 10}" for n in MANY])


def test_a_key_is_a_column_that_is_named_like_one(tmp_path: Path) -> None:
    assert key_of(tmp_path, table(AMOUNTS, ("label", [f"x{n}" for n in MANY]), ("user_id", list(MANY)))) == ("user_id",)
    assert key_of(tmp_path, table(("user_id", list(MANY)), AMOUNTS, ("ref", list(MANY))), "ref") == ("ref",)


def test_two_columns_together(tmp_path: Path) -> None:
    shop = ("shop_id", [n % 10 for n in MANY])
    day = ("day", [f"2026-01-{n // 10 + 1:02}" for n in MANY])
    assert key_of(tmp_path, table(shop, day, ("sold", [n % 7 for n in MANY]))) == ("shop_id", "day")


def test_amounts_are_no_key_and_it_is_said(tmp_path: Path) -> None:
    found = look_at(tmp_path, table(("kind", ["a", "b"] * 100), AMOUNTS))
    assert not found.key.columns
    assert found.key.remarks == ("unique, but only by accident, as such values may repeat: amount",)
    assert "mode: append" in compose(found, "file", "x.csv", "file.csv")


def test_a_null_or_a_repeated_value_anywhere_in_the_file_is_seen(tmp_path: Path) -> None:
    many = 200_000
    ids = list(range(many))
    fine = table(("id", ids), ("label", ["some words to fill a line"] * many))
    assert len(fine) > 4 << 20, "more blocks than one"
    assert key_of(tmp_path, fine) == ("id",)
    lines = fine.split("\n")
    assert key_of(tmp_path, "\n".join([*lines[:-2], ",no id", ""])) == ()
    twice = look_at(tmp_path, "\n".join([*lines[:-2], "5,twice", ""]))
    assert not twice.key.columns
    assert twice.key.remarks[0].startswith("id is nearly unique: 1 row repeats another")
    assert "\n# id is nearly unique: 1 row repeats another" in compose(twice, "file", "x.csv", "file.csv")


def test_a_key_that_was_asked_for_and_is_none_is_doubted(tmp_path: Path) -> None:
    text = table(("kind", ["a", "b"] * 100), AMOUNTS)
    found = look_at(tmp_path, text, ["kind"])
    assert doubts_of(found) == ["--key: kind is not unique: 198 rows repeat another, and the last one wins"]
    with pytest.raises(IngestError, match="--key: kid is none of the columns: kind, amount"):
        look_at(tmp_path, text, ["kid"])


def test_names_are_valid_different_and_unreserved() -> None:
    header = [
        "Straße Nr.",
        "order",
        "order",
        "ctid",
        "1. Quartal",
        "",
        "OrderID",
        "100 %",
        "millrace_x",
        "日本",
        "x" * 80,
        "x" * 80,
    ]
    assert names.column_names(header) == [
        "strasse_nr", "order_", "order__2", "ctid_", "c_1_quartal", "column_6", "order_id", "c_100_percent",
        "c_millrace_x", "column_10", "x" * 63, "x" * 61 + "_2",
    ]  # fmt: skip


def test_every_name_loads(warehouse: psycopg.Connection[Any], tmp_path: Path) -> None:
    header = [
        "Straße Nr.",
        "order",
        "ctid",
        "1. Quartal",
        "OrderID",
        "100 %",
        "processed_at",
        "select",
        'say "hi"',
        "a: b",
        "#x",
        "%",
    ]
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in header)
    rows = "".join(",".join(str(n * 100 + m) for m in range(len(header))) + "\n" for n in range(30))
    judged = judge(warehouse, tmp_path, (quoted + "\n" + rows).encode())
    assert judged.found.header
    assert problems(judged) == []


@pytest.mark.parametrize(
    ("place", "name", "source"),
    [
        ("in/orders_2026-03-01.csv", "orders", "{{ inbox }}/orders_{{ ds }}.csv"),
        ("orders-20260301.csv.gz", "orders", "{{ inbox }}/orders-{{ ds_nodash }}.csv.gz"),
        ("2026_03_01 Umsätze.CSV", "umsaetze", "{{ inbox }}/{{ ds | replace('-', '_') }} Umsätze.CSV"),
        ("s3://lake/sales/2026-03-01/part.csv.zst", "part", "s3://lake/sales/{{ ds }}/part.csv.zst"),
        ("123.csv", "dataset", "{{ inbox }}/123.csv"),
        ("file.csv", "dataset", "{{ inbox }}/file.csv"),
        ("s3://lake/2026-03-01/a_20260301.csv", "a", "s3://lake/{{ ds }}/a_{{ ds_nodash }}.csv"),
        ("20260101_to_20260131.csv", "to", "{{ inbox }}/20260101_to_{{ ds_nodash }}.csv"),
        ("a_2026-02-31.csv", "a", "{{ inbox }}/a_2026-02-31.csv"),
    ],
)
def test_names_and_templates_come_from_the_place(place: str, name: str, source: str) -> None:
    assert (names.dataset_name(place), names.source_of(place)) == (name, source)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("/in/a/2026-03-01/b_20260301.csv", "{{ inbox }}/a/{{ ds }}/b_{{ ds_nodash }}.csv"),
        ("/other/b_2026-03-01.csv", "/other/b_{{ ds }}.csv"),
        ("/inner/b.csv", "/inner/b.csv"),
        ("file:///in/b.csv", "file:///in/b.csv"),
        ("s3://lake/b.csv", "s3://lake/b.csv"),
        ("/in/{{x}}.csv", "{{ inbox }}/{{ '{{' }}x}}.csv"),
    ],
)
def test_where_the_inbox_is_known_a_source_is_where_the_file_lies(place: str, source: str) -> None:
    assert names.source_of(place, "/in") == source


@pytest.mark.parametrize("hostile", ['x: {y}\n# "', "a\tb", "\u2028", "\x07bell", "}, evil: {", "null", "01/02/2026"])
def test_nothing_in_a_file_breaks_the_yaml(tmp_path: Path, hostile: str) -> None:
    quoted = '"' + hostile.replace('"', '""') + '"'
    text = f"id,{quoted}\n" + "".join(f"{n},{quoted}\n" for n in range(30)) + "30,other\n"
    found = look_at(tmp_path, text)
    output = tmp_path / "items.yaml"
    output.write_text(compose(found, "items", "{{ inbox }}/x.csv", hostile), encoding="utf-8")
    if "skip_lines" not in output.read_text():
        assert load_dataset(output).name == "items"
    assert len(yaml.safe_load(output.read_text())["columns"]) == 2


def test_two_columns_that_were_asked_for_are_looked_at_together(tmp_path: Path) -> None:
    text = table(("kind", ["a", "b"] * 100), ("part", [n // 2 for n in MANY]), ("half", [n // 100 for n in MANY]))
    assert doubts_of(look_at(tmp_path, text, ["kind", "part"])) == []
    (doubt,) = doubts_of(look_at(tmp_path, text, ["kind", "half"]))
    assert doubt == "--key: the two columns together are not unique: where they repeat, the last row wins"


def test_a_header_without_rows(tmp_path: Path) -> None:
    found = look_at(tmp_path, "id,name\n")
    assert (found.rows, found.header, found.names) == (0, True, ["id", "name"])
    assert found.key.remarks == ("no record, so no key can be told",)
