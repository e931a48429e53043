"""What a run says of its file's columns, against SQL over a table that COPY filled from the same file."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from psycopg import Connection

from include.ingest.csv.records import Block, Chunk
from include.ingest.load import load_chunk
from include.ingest.merge import merge
from include.ingest.plan import Order, plan
from include.ingest.profile.kept import WHOLE
from include.ingest.profile.sample import FEWEST, MOST_BYTES, Sample
from include.ingest.run import run
from tests.ingest.loading import DAY, ingest, known, make_dataset

SALES = """
name: sales
source: x
target: public.sales
key: [id]
columns:
  id: {type: bigint}
  country: {type: text, nullable: true}
  amount: {type: "numeric(10,2)", nullable: true}
  sold_at: {type: timestamptz, nullable: true}
  paid: {type: boolean, nullable: true}
  ratio: {type: double precision, nullable: true}
  note: {type: text, nullable: true}
reject_limit: {rows: null, ratio: null}
"""
HEADER = "id,country,amount,sold_at,paid,ratio,note\n"
COUNTRIES = ["DE", "AT", "CH", "FR", ""]


def line(random_: random.Random, number: int, countries: list[str]) -> str:
    """A record; the period of what follows from its number is a power of two, as an even stride would be."""
    country = countries[number % 4] if number % 8 else random_.choice(countries)
    amount = "" if random_.random() < 0.3 else f"{random_.uniform(-50, 5000):.2f}"
    sold = f"2026-02-{1 + number % 28:02}T{number % 24:02}:15:00Z" if number % 16 else ""
    note = "" if random_.random() < 0.8 else f"note {number}"
    ratio = random_.choice(["NaN", "0.5", "1e300", "-2", ""])
    return f"{number},{country},{amount},{sold},{random_.choice(['true', 'false', ''])},{ratio},{note}\n"


def write(folder: Path, records: int, countries: list[str] | None = None, seed: int = 1) -> Path:
    """A file of sales."""
    random_ = random.Random(seed)
    file = folder / f"sales_{records}_{seed}.csv"
    file.write_text(HEADER + "".join(line(random_, n, countries or COUNTRIES) for n in range(1, records + 1)))
    return file


def copied(connection: Connection[Any], file: Path) -> None:
    """The file's rows in table `truth`, by nothing but COPY."""
    connection.execute("DROP TABLE IF EXISTS truth")
    connection.execute(
        "CREATE TABLE truth (id bigint, country text, amount numeric(10,2), sold_at timestamptz, paid boolean,"
        " ratio double precision, note text)"
    )
    with connection.cursor().copy("COPY truth FROM STDIN (FORMAT csv, HEADER true)") as copy:
        copy.write(file.read_bytes())


def profile(connection: Connection[Any], run_id: object) -> tuple[int, int, int, dict[str, dict[str, Any]]]:
    """Records, sampled and good ones of a run, and the figures by column."""
    found = connection.execute(
        "SELECT chunk, records, sampled, good, columns FROM millrace.ingest_profile WHERE run_id = %s", [str(run_id)]
    ).fetchall()
    assert [row[0] for row in found] == [WHOLE]
    _, records, sampled, good, columns = found[0]
    return records, sampled, good, {one["name"]: one for one in columns}


def truth(connection: Connection[Any], column: str) -> dict[str, Any]:
    """What SQL says of a column of `truth`."""
    row = connection.execute(
        f"SELECT avg(({column} IS NULL)::int)::float8, count(DISTINCT {column}) FROM truth"
    ).fetchone()
    assert row is not None
    values = connection.execute(f"SELECT {column}::text, count(*) FROM truth WHERE {column} IS NOT NULL GROUP BY 1")
    return {"null_share": row[0], "distinct": row[1], "values": dict(values.fetchall())}


def ends(connection: Connection[Any], column: str) -> tuple[str, str]:
    """Least and greatest value by PostgreSQL, in UTC; NaN is none."""
    where = f"WHERE {column}::text <> 'NaN'"
    connection.execute("SET timezone = 'UTC'")
    row = connection.execute(f"SELECT min({column})::text, max({column})::text FROM truth {where}").fetchone()
    assert row is not None
    return row[0], row[1]


@pytest.mark.parametrize("chunk_bytes", [1 << 30, 20_000])
def test_a_small_file_is_told_exactly(warehouse: Connection[Any], tmp_path: Path, chunk_bytes: int) -> None:
    file = write(tmp_path, 3_000)
    dataset = make_dataset(tmp_path, SALES, chunk_bytes=chunk_bytes)
    account = ingest(warehouse, dataset, file, tmp_path)
    copied(warehouse, file)
    records, sampled, good, columns = profile(warehouse, account.run_id)
    assert (records, sampled, good) == (3_000, 3_000, 3_000)
    assert list(columns) == list(dataset.columns)
    for name, one in columns.items():
        said = truth(warehouse, name)
        assert one["null_share"] == pytest.approx(said["null_share"]), name
        assert one["type"] == dataset.columns[name].type
    for name in ("country", "paid", "ratio"):
        assert columns[name]["values"] == truth(warehouse, name)["values"], name
        assert columns[name]["distinct"] == truth(warehouse, name)["distinct"], name
    assert columns["id"]["values"] is None, "a key is no list of kinds"
    for name in ("id", "amount", "sold_at", "ratio"):
        assert (columns[name]["least"], columns[name]["greatest"]) == ends(warehouse, name), name
    assert columns["country"]["least"] is None


def test_a_large_file_is_told_by_a_sample_that_says_so(warehouse: Connection[Any], tmp_path: Path) -> None:
    file = write(tmp_path, 60_000)
    account = ingest(warehouse, make_dataset(tmp_path, SALES, block_bytes=1 << 19), file, tmp_path)
    copied(warehouse, file)
    records, sampled, _, columns = profile(warehouse, account.run_id)
    assert records == 60_000
    assert FEWEST / 2 < sampled <= 2 * FEWEST
    for name, one in columns.items():
        assert one["null_share"] == pytest.approx(truth(warehouse, name)["null_share"], abs=0.03), name
    for value, rows in truth(warehouse, "country")["values"].items():
        assert columns["country"]["values"][value] == pytest.approx(rows, rel=0.15), "although the file has a period"
    assert columns["note"]["values"] is None


def test_records_that_need_no_load_count_as_well(warehouse: Connection[Any], tmp_path: Path) -> None:
    first, second = write(tmp_path, 4_000), tmp_path / "second.csv"
    second.write_text(first.read_text().replace("\n2,", "\n2,XK") + "4001,XK,,,,,\n")
    dataset = make_dataset(tmp_path, SALES)
    ingest(warehouse, dataset, first, tmp_path)
    account = ingest(warehouse, dataset, second, tmp_path, version=DAY + timedelta(days=1))
    assert known(warehouse, account) > 3_000
    copied(warehouse, second)
    records, sampled, _, columns = profile(warehouse, account.run_id)
    assert records == sampled == 4_001
    assert columns["country"]["values"] == truth(warehouse, "country")["values"]
    assert columns["note"]["null_share"] == pytest.approx(truth(warehouse, "note")["null_share"])


def test_figures_are_of_the_records_that_pass_the_checks(warehouse: Connection[Any], tmp_path: Path) -> None:
    text = HEADER + "1,DE,,,,,\n2,DE,dear,,,,\n3,AT,5,,,,\n3,AT,6,,,,\n4,AT\n5,DE,7,,,,\n"
    account = ingest(warehouse, make_dataset(tmp_path, SALES), text, tmp_path)
    records, sampled, good, columns = profile(warehouse, account.run_id)
    assert (records, sampled, good) == (6, 6, 4), "one of a wrong type, and one of a wrong width"
    assert columns["amount"]["null_share"] == pytest.approx(1 / 4)
    assert columns["country"]["values"] == {"AT": 2, "DE": 2}, "also the one that lost to a later one"


def test_columns_that_the_file_lacks_have_no_figures(warehouse: Connection[Any], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, SALES, missing_columns=None)
    account = ingest(warehouse, dataset, "id,country\n1,DE\n2,DE\n", tmp_path)
    assert list(profile(warehouse, account.run_id)[3]) == ["id", "country"]


def test_long_or_many_values_are_not_kept(warehouse: Connection[Any], tmp_path: Path) -> None:
    text = HEADER + "".join(f"{n},c{n % 60},,,,,{'x' * 100}\n" for n in range(1, 1_001))
    account = ingest(warehouse, make_dataset(tmp_path, SALES), text, tmp_path)
    columns = profile(warehouse, account.run_id)[3]
    assert (columns["country"]["values"], columns["country"]["distinct"]) == (None, 60)
    assert (columns["note"]["values"], columns["note"]["distinct"]) == (None, 1)
    row = warehouse.execute("SELECT sum(pg_column_size(columns)) FROM millrace.ingest_profile").fetchone()
    assert row is not None
    assert row[0] < 4_000


def test_a_chunk_that_is_loaded_again_counts_once(warehouse: Connection[Any], tmp_path: Path) -> None:
    file, dataset = write(tmp_path, 2_000), make_dataset(tmp_path, SALES, chunk_bytes=30_000)
    planned = plan(warehouse, dataset, Order(uuid4(), file, DAY))
    assert len(planned.chunks) > 2
    for chunk in planned.chunks:
        load_chunk(warehouse, dataset, planned, chunk)
    tables = (f"millrace_staging.{kind}_{planned.run_id.hex}" for kind in ("rows", "chunks"))
    warehouse.execute(f"TRUNCATE {', '.join(tables)}")  # as a crash of the server does
    merge(warehouse, dataset, planned)
    records, sampled, _, columns = profile(warehouse, planned.run_id)
    copied(warehouse, file)
    assert records == sampled == 2_000
    assert columns["country"]["values"] == truth(warehouse, "country")["values"]


def test_it_goes_with_the_run(warehouse: Connection[Any], tmp_path: Path) -> None:
    file, dataset = write(tmp_path, 100), make_dataset(tmp_path, SALES)
    order = Order(uuid4(), file, DAY, force=True)
    run(warehouse, dataset, order)
    run(warehouse, dataset, order)
    assert profile(warehouse, order.run_id)[0] == 100
    warehouse.execute("DELETE FROM millrace.ingest_run")
    assert warehouse.execute("SELECT count(*) FROM millrace.ingest_profile").fetchone() == (0,)


def block(lengths: list[int], offset: int = 0) -> Block:
    """Records of these lengths."""
    starts = np.cumsum([0, *lengths])[:-1]
    return Block(b"x" * sum(lengths), starts + offset, starts, starts)


def test_a_sample_favours_no_record() -> None:
    taken = np.zeros(20_000, np.int64)
    for seed in range(20):
        sample = Sample(Chunk(0, seed, 1 << 20, 1))
        blocks = [block([10] * 5_000, offset) for offset in range(0, 200_000, 50_000)]
        for one, passed in zip(blocks, sample.watching(blocks), strict=True):
            assert passed is one, "the blocks pass as they are"
        found = sample.block()
        assert found is not None
        assert sample.records == 20_000
        assert FEWEST / 2 < len(found.starts) <= 2 * FEWEST
        taken[found.offsets // 10] += 1
    quarters = taken.reshape(4, -1).sum(axis=1) / taken.sum()
    assert quarters == pytest.approx([0.25] * 4, abs=0.01)
    assert (taken[::64].sum() / taken.sum()) == pytest.approx(1 / 64, rel=0.2), "whatever their number"


def test_a_sample_stays_within_its_memory() -> None:
    sample = Sample(Chunk(0, 0, 1 << 30, 1))
    for _ in sample.watching([block([MOST_BYTES // 3] * 8), block([10] * 5), block([2 * MOST_BYTES])]):
        pass
    kept = sample.block()
    assert kept is None or len(kept.data) <= MOST_BYTES
    assert sample.records == 14


EVERY_TYPE = """
name: every
source: x
target: public.every
mode: append
columns:
  small: {type: smallint, nullable: true}
  real4: {type: real, nullable: true}
  day: {type: date, nullable: true}
  clock: {type: time, nullable: true}
  local: {type: timestamp, nullable: true}
  wide: {type: "numeric(38,20)", nullable: true}
  mark: {type: uuid, nullable: true}
  data: {type: jsonb, nullable: true}
  raw: {type: bytea, nullable: true}
  word: {type: varchar(5), nullable: true}
"""


def test_columns_of_every_type(warehouse: Connection[Any], tmp_path: Path) -> None:
    mark = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
    one = f'-7,1.5,0001-01-01,00:00:00,0001-01-01T00:00:00,-1.5,{mark},"{{""a"": 1}}",\\x00ff,äb\n'
    two = "12,Infinity,9999-12-31,23:59:59.5,9999-12-31T23:59:59.25,12345678901234567.25,,[],\\x01,äb\n"
    header = "small,real4,day,clock,local,wide,mark,data,raw,word\n"
    account = ingest(warehouse, make_dataset(tmp_path, EVERY_TYPE), header + one + two + ",,,,,,,,,\n", tmp_path)
    columns = profile(warehouse, account.run_id)[3]
    for name in ("small", "day", "clock", "local", "wide"):
        found = warehouse.execute(f"SELECT min({name})::text, max({name})::text FROM every").fetchone()
        least, greatest = (text.rstrip("0") if name == "wide" else text for text in found or ())
        assert columns[name]["least"].rstrip("0" if name == "wide" else "") == least, name
        assert columns[name]["greatest"].rstrip("0" if name == "wide" else "") == greatest, name
    assert (columns["real4"]["least"], columns["real4"]["greatest"]) == ("1.5", "1.5"), "infinity is no end"
    assert columns["word"]["values"] == {"äb": 2}
    assert [columns[name]["distinct"] for name in ("mark", "data", "raw", "word")] == [1, None, 2, 1]
    assert all(found["null_share"] == pytest.approx(1 / 3) for name, found in columns.items() if name != "mark")
