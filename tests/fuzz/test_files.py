"""PostgreSQL judges files: a few seeds, and that a planted fault does not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fuzz.files import FilesJudge, open_judge
from fuzz.files.case import Case, Form, Sizes
from fuzz.files.judge import EXPLAINED, shrunk
from include.ingest.cast import rows
from include.ingest.csv import records
from stack.postgres import PostgresServer
from stack.settings import REPOSITORY

TWO = Form(("c0", "c1"), header=False)


@pytest.fixture(scope="module")
def judge(postgres: PostgresServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesJudge]:
    """A judge on the session's server."""
    judge = open_judge(postgres.dsn(), tmp_path_factory.mktemp("judge"))
    yield judge
    judge.close()


@pytest.mark.parametrize("seed", range(3))
def test_files_are_read_as_copy_reads_them(judge: FilesJudge, seed: int) -> None:
    checked = judge.check(seed)
    assert checked.differences == []
    assert checked.cases == 100
    assert set(checked.explained) <= set(EXPLAINED)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        b"1,a\n\n2,b\n\n", b'1,"a\n2,b\n', b"1,a\r\n2\r\n", b"\xff,a\n1,b\n", b'1,5" x\n2,"b"\n', b"",
        # No letter, though its bytes make one once a quote between them is gone.
        b'1,"\xed"\x95\x9c\n2,\xed\x95\x9c\n', b'1,""\xc3""\xa4\n2,\xc3\xa4\n', b'1,"\xc3""\xa4"\n2,b\n',
        b'1,a"\n2,"\xc3"\xa4\n3,\xc3\xa4\n', b'1,""\r2,"\xc3"\xa4\n',
    ],
)  # fmt: skip
def test_a_case_of_its_own(judge: FilesJudge, data: bytes, whole: bool) -> None:
    for sizes in (Sizes(), Sizes(1, 1, 1)):
        assert judge.judge(Case(data, TWO, sizes, whole), Counter()) is None


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"|\nc0", Form(("c0",), " ", "|", "\\", "search")),  # the first line would hold the name if it ended
        (b'#"\n1,a\n# x\n#"\n2,b\n', TWO._replace(comment="#")),
        (b'x "\n1,a\n\n2\nend,"x"', TWO._replace(skip=1, footer=1, fill=True)),
        (b',over\nc0,"c1"\n1,a\n', TWO._replace(header=True, header_lines=2)),
        # A letter that a quote or an escape parts, where another column is ignored or missing.
        (b'a,c0\nx,"\xc3"\xa4\ny,z\n', Form(("c0",))),
        (b'a,c0\n"\xc3"\xa4,x\ny,z\n', Form(("c0",))),
        (b'a,c0\n\xff,"\xc3"\xa4\ny,z\n', Form(("c0",))),
        (b'"\xc3"\xa4\nx,y\n', TWO._replace(fill=True)),
        (b'1,a"\n2,"\xc7"\xd1\n', TWO._replace(encoding="euc_kr")),
        (b"\xed\x95\\\x9c\nx\n", Form(("c0",), quote=None, escape="\\")),
        (b"1,a\\\n2,\xc3\\\xa4\n", TWO._replace(escape="\\")),
        (b"c1~c0~c1", Form(("c0", "c1"), "~", header="search", footer=3)),  # refused for either reason
    ],
)
def test_what_stands_around_records(judge: FilesJudge, data: bytes, form: Form, whole: bool) -> None:
    for sizes in (Sizes(), Sizes(1, 1, 1)):
        assert judge.judge(Case(data, form, sizes, whole), Counter()) is None


def test_a_comment_that_is_kept_is_noticed(judge: FilesJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "is_record", lambda data, starts, grammar: np.ones(len(starts), dtype=bool))
    assert judge.judge(Case(b"1,a\n#,x\n2,b\n", TWO._replace(comment="#")), Counter()) is not None


def test_a_blank_line_that_is_kept_is_noticed(judge: FilesJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "is_record", lambda data, starts, grammar: np.ones(len(starts), dtype=bool))
    assert judge.judge(Case(b"1,a\n\n2,b\n", TWO), Counter()) is not None


def test_a_cell_that_is_changed_is_noticed_and_made_small(judge: FilesJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = rows._record_cells

    def stripped(*given: Any) -> tuple[list[pa.Array], dict[int, int]]:
        found, widths = cells(*given)
        return [pc.binary_replace_slice(column, 0, 1, b"") for column in found], widths

    monkeypatch.setattr(rows, "_record_cells", stripped)
    monkeypatch.setattr(rows, "_arrow_cells", lambda *_: [])
    case = Case(b"1,a\n" * 20 + b"22, b \n" + b"333,c\n" * 20, TWO, Sizes(7, 9, 11))
    small = shrunk(case, lambda one: judge.judge(one, Counter()) is not None)
    assert len(small.data) <= 2
    assert small.sizes == Sizes()


def test_the_choices_are_documented() -> None:
    text = (REPOSITORY / "docs" / "fuzz.md").read_text()
    for name in EXPLAINED:
        assert f"| {name} |" in text
