"""`python -m include.ingest init`: what it writes and prints, where, and what it refuses; of any place."""

from __future__ import annotations

import gzip
import secrets
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from s3fs import S3FileSystem

from include.ingest.__main__ import main
from include.ingest.dataset_file import load_dataset
from include.ingest.errors import SourceMissing
from include.ingest.infer.command import look
from tests.docs.fences import written_in
from tests.images.places import KEYS, s3

REPOSITORY = Path(__file__).parents[3]
ROWS = "id,label,price\n" + "".join(f"{n},thing {n},{n}.50\n" for n in range(1, 50))


def test_it_writes_a_dataset_that_loads_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items_2026-03-01.csv").write_text(ROWS)
    assert main(["init", "items_2026-03-01.csv"]) == 0
    assert capsys.readouterr().out == "items.yaml: 49 rows, 3 columns, key: id\n"
    dataset = load_dataset(tmp_path / "items.yaml")
    assert (dataset.source, dataset.key) == ("{{ inbox }}/items_{{ ds }}.csv", ["id"])
    assert {name: column.type for name, column in dataset.columns.items()} == {
        "id": "integer", "label": "text", "price": "numeric(12,2)",
    }  # fmt: skip
    assert 'price: {type: "numeric(12,2)"} # 1.50 to 49.50, 49 distinct' in Path("items.yaml").read_text()


def test_it_overwrites_nothing_unless_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = tmp_path / "items.csv", tmp_path / "mine.yaml"
    file.write_text(ROWS)
    output.write_text("precious")
    assert main(["init", str(file), "--output", str(output)]) == 2
    assert "exists: give --force to overwrite it" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert main(["init", str(file), "--output", str(output), "--force", "--key", "label"]) == 0
    assert load_dataset(output).key == ["label"]


def test_ambiguities_and_rejects_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bills.csv"
    file.write_text("id;due\n" + "".join(f"{n};0{n % 9 + 1}/0{n % 7 + 1}/2026\n" for n in range(1, 500)) + "500;soon\n")
    assert main(["init", str(file), "--output", str(tmp_path / "bills.yaml")]) == 0
    _, ambiguous, rejected = capsys.readouterr().out.splitlines()
    assert ambiguous == (
        "ambiguous: due: '02/02/2026' may be day first or month first, and no value decides: read day first"
    )
    assert rejected == "rejected: due: 1 row would be rejected, not date: 'soon' on line 501"
    text = (tmp_path / "bills.yaml").read_text()
    assert "# AMBIGUOUS: due: '02/02/2026' may be day first" in text


def test_what_can_be_read_both_ways_is_settled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = tmp_path / "bills.csv", tmp_path / "bills.yaml"
    file.write_text("id;due;amount\n" + "".join(f"{n};0{n % 9 + 1}/0{n % 7 + 1}/2026;{n}.234\n" for n in range(1, 50)))
    said = ["--dates", "month-first", "--decimal-mark", ","]
    assert main(["init", str(file), "--output", str(output), *said]) == 0
    assert "ambiguous" not in capsys.readouterr().out
    columns = load_dataset(output).columns
    assert (columns["due"].formats, columns["amount"].thousands_mark) == (["%m/%d/%Y"], ".")
    file.write_text("id;due\n" + "".join(f"{n};{n % 28 + 1}/03/2026\n" for n in range(1, 50)))
    assert main(["init", str(file), "--output", str(output), "--force", "--dates", "month-first"]) == 0
    assert load_dataset(output).columns["due"].formats == ["%d/%m/%Y"], "where a file says otherwise, it is right"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "is not there"),
        (b"", "holds nothing"),
        (b"\n\n", "holds nothing"),
        (b"PK\x03\x04 and more", "zip"),
        ("a;b\n1;2\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_can_not_be_read_is_an_error_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None, reason: str
) -> None:
    file, output = tmp_path / "items.csv", tmp_path / "items.yaml"
    if data is not None:
        file.write_bytes(data)
    assert main(["init", str(file), "--output", str(output)]) == 1
    said = capsys.readouterr().err
    assert reason.lower() in said.lower()
    assert "items.csv" in said
    assert sorted(tmp_path.iterdir()) == ([file] if data is not None else [])


def test_a_name_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "x.csv"), "--name", "Über"]) == 2
    assert "--name: Über is no name of a dataset" in capsys.readouterr().err


def test_packed_files_and_objects(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    S3FileSystem.clear_instance_cache()  # one that another test made in this process knows no keys
    keys = {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1], "AWS_ENDPOINT_URL": endpoint}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MILLRACE_SCRATCH", str(tmp_path / "scratch"))
    packed = tmp_path / "items.csv.gz"
    packed.write_bytes(gzip.compress(ROWS.encode()))
    bucket = f"inference-{secrets.token_hex(6)}"
    s3(endpoint).mkdir(bucket)
    s3(endpoint).pipe_file(f"{bucket}/day/items.csv", ROWS.encode())
    for place in (str(packed), f"s3://{bucket}/day/items.csv"):
        output = tmp_path / "items.yaml"
        assert main(["init", place, "--output", str(output), "--force"]) == 0, capsys.readouterr().err
        assert load_dataset(output).key == ["id"]
        assert "49 rows" in capsys.readouterr().out
    assert list((tmp_path / "scratch" / "ingest").iterdir()) == [], "nothing is left unpacked"


def test_a_url(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From a server that does not give ranges."""
    monkeypatch.setenv("MILLRACE_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "items.csv").write_text(ROWS)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/items.csv"
            assert main(["init", url, "--output", str(tmp_path / "items.yaml")]) == 0
            assert main(["init", f"{url}x", "--output", str(tmp_path / "other.yaml")]) == 1
            with pytest.raises(SourceMissing):
                look(f"{url}x")
            assert main(["run", str(tmp_path / "items.yaml"), url, "--dsn", dsn]) == 1
        finally:
            server.shutdown()
            serving.join()
    told = capsys.readouterr()
    assert "49 rows, 3 columns, key: id" in told.out
    assert "items.csvx can't be read:" in told.err
    assert "its server sends all of the file where a part is asked for" in told.err
    assert load_dataset(tmp_path / "items.yaml").source == url
    assert list((tmp_path / "scratch" / "ingest").iterdir()) == []


class Quiet(SimpleHTTPRequestHandler):
    """It logs nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_init_then_run(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ROWS)
    for arguments in (["init", "items.csv"], ["run", "items.yaml", "items.csv", "--dsn", dsn]):
        done = subprocess.run(
            [sys.executable, "-m", "include.ingest", *arguments], cwd=tmp_path, capture_output=True, text=True,
            timeout=600, check=False, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*), sum(price) FROM items").fetchone() == (49, sum(range(1, 50)) + 24.5)


def test_the_guide_shows_what_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (fence,) = (fence for fence in written_in("sh") if "run dataset init" in fence.text and "bills" in fence.text)
    make, init = fence.text.split("./run dataset ")
    (tmp_path / "include" / "datasets").mkdir(parents=True)
    subprocess.run(["bash", "-c", make], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert main(init.splitlines()[0].split()) == 0
    assert fence.output == capsys.readouterr().out + Path("include/datasets/bills.yaml").read_text()
    assert load_dataset(tmp_path / "include" / "datasets" / "bills.yaml").name == "bills"


def test_run_dataset_init_needs_no_stack(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ROWS)
    environment = {"MILLRACE_DATASETS": f"{tmp_path}:/nowhere", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    for arguments, code in ((["init", "items.csv"], 0), (["init", "items.csv"], 2), (["unknown"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "stack", "dataset", *arguments], cwd=tmp_path, capture_output=True, text=True,
            check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    assert load_dataset(tmp_path / "items.yaml").key == ["id"]
