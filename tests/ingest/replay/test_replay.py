"""What a replay does to the table, to the ledger, and to the files that come afterwards."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from include.ingest.dataset.definition import RejectLimit
from include.ingest.errors import HookError, IngestError, RejectLimitExceeded, ReplayRefused, TargetRefused
from include.ingest.plan import Order
from include.ingest.replay.corrections import changes, correct, dismiss, reopen
from include.ingest.replay.replay_run import replay
from include.ingest.run import run
from tests.ingest.loading import DAY, HEADER, ITEMS, counts, ingest, make_dataset, rows, staging_tables
from tests.ingest.replay.rejecting import WHO, rejects, replayed, states

Warehouse = psycopg.Connection[Any]
RELAXED = ITEMS.replace(", min: 0", "")
LATER = DAY + timedelta(days=1)


def test_corrected_rows_enter_the_table_as_of_their_run(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,x\n3,c,-1\n4,d\n", tmp_path)
    second = replayed(warehouse, dataset, first, {3: {"price": "2"}, 4: {"price": "3"}})
    assert counts(second) == {"read": 3, "inserted": 2, "rejected": 1}
    assert second.reason == "1 of 3 rows were rejected again"
    assert rows(warehouse, "id, price, source_version") == [(1, 1, DAY), (2, 2, DAY), (3, 3, DAY)]
    assert states(warehouse, first) == {3: "replayed", 4: "replayed", 5: "replayed"}
    (again,) = rejects(warehouse, second)
    earlier = rejects(warehouse, first)[2]
    assert (again.earlier, again.state) == (earlier.id, "open")
    assert (again.file, again.line_number, again.byte_offset) == (earlier.file, 5, earlier.byte_offset)
    assert (again.rule, again.raw, again.edited) == ("fields", "4,d", False)
    found = warehouse.execute(
        "SELECT replay_of::text, asked_by, version, target FROM millrace.ingest_run WHERE run_id = %s", [second.run_id]
    )
    assert found.fetchone() == (first.run_id, WHO, DAY, "public.items")
    assert staging_tables(warehouse) == []


def test_run_twice_the_second_does_nothing_and_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,x\n", tmp_path)
    done = replayed(warehouse, dataset, first, {3: {"price": "2"}})
    before = rows(warehouse, "id, price, xmin::text")
    again = replay(warehouse, dataset, UUID(first.run_id), who=WHO)
    assert (again.status, counts(again)) == ("skipped", {})
    assert again.reason == f"nothing to replay: of the rejected rows are 1 replayed by run {done.run_id}"
    assert rows(warehouse, "id, price, xmin::text") == before


def test_a_choice_of_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset, relaxed = make_dataset(tmp_path), make_dataset(tmp_path, RELAXED)
    first = ingest(warehouse, dataset, HEADER + "1,a,-1\n2,b,-2\n3,c,x\n4,d,y\n", tmp_path)
    by_rule = replayed(warehouse, relaxed, first, rule="min")
    assert counts(by_rule) == {"read": 2, "inserted": 2}
    assert states(warehouse, first) == {2: "replayed", 3: "replayed", 4: "open", 5: "open"}
    by_id = replayed(warehouse, relaxed, first, {4: {"price": "3"}}, ids=[rejects(warehouse, first)[2].id])
    assert counts(by_id) == {"read": 1, "inserted": 1}
    assert states(warehouse, first)[5] == "open"
    with pytest.raises(ReplayRefused, match="has no such rejected rows"):
        replay(warehouse, relaxed, UUID(first.run_id), who=WHO, rule="unknown")


def test_dismissed_rows_are_not_replayed(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, RELAXED)
    first = ingest(warehouse, make_dataset(tmp_path), HEADER + "1,a,-1\n2,b,-2\n", tmp_path)
    ids = [row.id for row in rejects(warehouse, first)]
    assert dismiss(warehouse, ids, who=WHO, why="a test order") == 2
    assert dismiss(warehouse, ids, who=WHO, why="twice") == 0
    assert replay(warehouse, dataset, UUID(first.run_id), who=WHO).reason == (
        "nothing to replay: of the rejected rows are 2 dismissed"
    )
    assert reopen(warehouse, ids[:1], who="ann", why="it was none") == 1
    assert [(one.action, one.who, one.why) for one in changes(warehouse, ids[0])] == [
        ("dismissed", WHO, "a test order"), ("reopened", "ann", "it was none"),
    ]  # fmt: skip
    assert counts(replay(warehouse, dataset, UUID(first.run_id), who=WHO)) == {"read": 1, "inserted": 1}
    assert reopen(warehouse, ids, who=WHO, why="") == 1, "a replayed row stays so"


def test_too_many_rejected_again(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    good = "".join(f"{number},a,1\n" for number in range(100, 140))
    first = ingest(warehouse, dataset, HEADER + good + "1,a,x\n2,b,y\n3,c,z\n", tmp_path)
    strict = dataset.model_copy(update={"reject_limit": RejectLimit(rows=None, ratio=0.04)})
    with pytest.raises(RejectLimitExceeded) as caught:
        replayed(warehouse, strict, first, {42: {"price": "2"}})
    assert "2 of 43 rows were rejected: over the limit of 4 %" in str(caught.value)
    assert "2 of 3 replayed rows were rejected again" in str(caught.value)
    assert ":43: price 'y': not a decimal number" in str(caught.value)
    assert len(rows(warehouse)) == 40
    assert set(states(warehouse, first).values()) == {"open"}
    failed = warehouse.execute("SELECT status, reason FROM millrace.ingest_run WHERE replay_of = %s", [first.run_id])
    assert failed.fetchall() == [("failed", str(caught.value))]
    assert counts(replayed(warehouse, strict, first, {43: {"price": "2"}})) == {
        "read": 3, "inserted": 2, "rejected": 1,
    }, "of 43 rows in all, one may be rejected"  # fmt: skip
    assert staging_tables(warehouse) == []


def test_what_can_not_be_replayed(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, reject_limit=RejectLimit(rows=0, ratio=None))
    failed = uuid4()
    file = tmp_path / "bad.csv"
    file.write_text(HEADER + "1,a,x\n")
    with pytest.raises(RejectLimitExceeded):
        run(warehouse, dataset, Order(failed, file, DAY))
    with pytest.raises(ReplayRefused, match="is failed: none of its rows are in the table"):
        replay(warehouse, dataset, failed, who=WHO)
    with pytest.raises(ReplayRefused, match="there is no run"):
        replay(warehouse, dataset, uuid4(), who=WHO)
    free = make_dataset(tmp_path)
    first = ingest(warehouse, free, HEADER + "1,a,1\n2,a,x\n", tmp_path)
    other = make_dataset(tmp_path, ITEMS.replace("name: items", "name: others"))
    with pytest.raises(ReplayRefused, match="is of dataset items, not of others"):
        replay(warehouse, other, UUID(first.run_id), who=WHO)
    moved = make_dataset(tmp_path, ITEMS.replace("public.items", "public.moved"))
    with pytest.raises(ReplayRefused, match=r"loaded into public.items, and items loads into public.moved by now"):
        replay(warehouse, moved, UUID(first.run_id), who=WHO)
    with warehouse.transaction(), pytest.raises(ReplayRefused, match="on a connection that is in none"):
        replay(warehouse, free, UUID(first.run_id), who=WHO)
    warehouse.execute("DROP TABLE items")
    with pytest.raises(ReplayRefused, match=r"the table public.items is gone since run"):
        replay(warehouse, free, UUID(first.run_id), who=WHO)


def test_a_truncated_table_takes_the_rows_and_the_file_again(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    file = tmp_path / "items.csv"
    file.write_text(HEADER + "1,a,1\n2,b,x\n")
    first = ingest(warehouse, dataset, file, tmp_path)
    warehouse.execute("TRUNCATE items")
    assert counts(replayed(warehouse, dataset, first, {3: {"price": "2"}})) == {"read": 1, "inserted": 1}
    assert counts(ingest(warehouse, dataset, file, tmp_path)) == {"read": 2, "inserted": 1, "rejected": 1}
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2)]


def test_the_same_file_again_does_not_undo_a_replay(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    file = tmp_path / "items.csv"
    file.write_text(HEADER + "1,a,1\n2,b,x\n3,c,3\n3,d,x\n")
    first = ingest(warehouse, dataset, file, tmp_path)
    replayed(warehouse, dataset, first, {3: {"price": "2"}})
    for version in (DAY, LATER):
        again = ingest(warehouse, dataset, file, tmp_path, version=version)
        assert again.read == sum(counts(again).get(name, 0) for name in ("unchanged", "rejected"))
        assert rows(warehouse, "id, price") == [(1, 1), (2, 2), (3, 3)]
    forced = ingest(warehouse, dataset, file, tmp_path, version=LATER, force=True)
    assert counts(forced) == {"read": 4, "unchanged": 2, "rejected": 2}
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2), (3, 3)]
    replayed(warehouse, dataset, forced, {5: {"price": "9"}})
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2), (3, 9)], "a correction wins over the file's own record"


def test_a_replay_is_settled_for_the_files_that_follow(warehouse: Warehouse, tmp_path: Path) -> None:
    """Known records (decision 7) build on the first run after it."""
    dataset = make_dataset(tmp_path)
    text = HEADER + "".join(f"{number},a,1\n" for number in range(50))
    first = ingest(warehouse, dataset, text + "90,b,x\n", tmp_path)
    replayed(warehouse, dataset, first, {52: {"price": "2"}})
    known = "SELECT coalesce(sum(known), 0)::int FROM millrace.ingest_chunk WHERE run_id = %s"
    for day, wanted in ((1, 0), (2, 50)):
        more = ingest(warehouse, dataset, f"{text}9{day},c,1\n", tmp_path, version=DAY + timedelta(days=day))
        assert warehouse.execute(known, [more.run_id]).fetchone() == (wanted,)
    assert rows(warehouse, "id, price")[-3:] == [(90, 2), (91, 1), (92, 1)]


def test_mode_replace_deletes_nothing_and_bows_to_a_newer_file(warehouse: Warehouse, tmp_path: Path) -> None:
    text = ITEMS.replace("key: [id]", "key: [id]\nmode: replace")
    dataset, relaxed = make_dataset(tmp_path, text), make_dataset(tmp_path, text.replace(", min: 0", ""))
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n3,c,3\n", tmp_path, version=DAY - timedelta(days=1))
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,-5\n3,c,4\n3,c,-6\n5,e,-1\n", tmp_path)
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2), (3, 4)], "a rejected key keeps its row"
    ids = [row.id for row in rejects(warehouse, first)]
    # 2: corrected, 3: as it was, against a good record of the file
    done = replayed(warehouse, relaxed, first, {3: {"price": "7"}}, ids=ids[:2])
    assert counts(done) == {"read": 2, "updated": 1, "superseded": 1}
    assert "the table has a newer row of their key, or another one of the same file" in str(done.reason)
    assert rows(warehouse, "id, price") == [(1, 1), (2, 7), (3, 4)]
    ingest(warehouse, dataset, HEADER + "1,a,1\n3,c,4\n", tmp_path, version=LATER)
    late = replay(warehouse, relaxed, UUID(first.run_id), who=WHO)
    assert counts(late) == {"read": 1, "superseded": 1}
    assert rows(warehouse, "id, price") == [(1, 1), (3, 4)]


def test_mode_append_adds_once(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS.replace("key: [id]", "mode: append"))
    file = tmp_path / "items.csv"
    file.write_text(HEADER + "1,a,1\n2,b,x\n")
    first = ingest(warehouse, dataset, file, tmp_path)
    assert counts(replayed(warehouse, dataset, first, {3: {"price": "2"}})) == {"read": 1, "inserted": 1}
    assert replay(warehouse, dataset, UUID(first.run_id), who=WHO).status == "skipped"
    assert ingest(warehouse, dataset, file, tmp_path).status == "skipped"
    assert rows(warehouse, "id, price") == [(1, 1), (2, 2)]


def test_duplicates_that_were_rejected(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, ITEMS + "duplicates: reject\n")
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n7,b,2\n7,c,3\n8,d,4\n8,e,5\n", tmp_path)
    assert rows(warehouse, "id") == [(1,)]
    ids = {row.line_number: row.id for row in rejects(warehouse, first)}
    both = replayed(warehouse, dataset, first, {3: {"price": "9"}}, ids=[ids[3], ids[4]])
    assert counts(both) == {"read": 2, "rejected": 2}
    reasons = {row.line_number: row.reason for row in rejects(warehouse, both)}
    assert reasons == {3: "the key is first at line 4", 4: "the key is first at line 4"}, "lines of the file itself"
    one = replayed(warehouse, dataset, both, ids=[rejects(warehouse, both)[0].id])
    assert counts(one) == {"read": 1, "inserted": 1}
    moved = replayed(warehouse, dataset, first, {6: {"id": "9"}}, ids=[ids[5], ids[6]])
    assert counts(moved) == {"read": 2, "inserted": 2}
    assert len(rows(warehouse, "id")) == 4


def test_a_good_record_that_changed_nothing_wins_over_a_bad_one_as_it_was(warehouse: Warehouse, tmp_path: Path) -> None:
    """The row carries the version of an older file, so the table alone does not tell that this one held it."""
    dataset, relaxed = make_dataset(tmp_path), make_dataset(tmp_path, RELAXED)
    ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,2\n", tmp_path, version=DAY - timedelta(days=1))
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n1,a,-9\n2,b,-8\n", tmp_path)
    assert counts(replayed(warehouse, relaxed, first)) == {"read": 2, "updated": 1, "superseded": 1}
    assert rows(warehouse, "id, price") == [(1, 1), (2, -8)]


def test_a_version_column_decides(warehouse: Warehouse, tmp_path: Path) -> None:
    text = ITEMS.replace("key: [id]", "key: [id]\nversion: revision").replace(
        "  label:", "  revision: {type: integer}\n  label:"
    )
    dataset, relaxed = make_dataset(tmp_path, text), make_dataset(tmp_path, text.replace(", min: 0", ""))
    head = "id,revision,label,price\n"
    first = ingest(warehouse, dataset, head + "1,5,a,1\n2,5,b,1\n3,5,c,1\n1,6,d,-1\n2,5,e,-1\n3,4,f,-1\n", tmp_path)
    done = replayed(warehouse, relaxed, first)
    assert counts(done) == {"read": 3, "updated": 1, "superseded": 2}
    assert rows(warehouse, "id, label") == [(1, "d"), (2, "b"), (3, "c")]


def test_columns_that_moved_or_came_since(warehouse: Warehouse, tmp_path: Path) -> None:
    """Records are read by the header that their file had."""
    old = make_dataset(tmp_path)
    head = "note,price,id,label\n"
    file = tmp_path / "items.csv"
    file.write_text(head + "n1,1,1,a\nn2,-2,2,b\n")
    first = ingest(warehouse, old, file, tmp_path)
    file.unlink()
    text = RELAXED.replace("  label:", "  note: {type: text, nullable: true}\n  label:")
    warehouse.execute("ALTER TABLE items ADD COLUMN note text")
    done = replayed(warehouse, make_dataset(tmp_path, text), first)
    assert counts(done) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "id, label, price, note")[-1] == (2, "b", -2, "n2")


def test_many_files_of_a_run(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / "b.csv").write_text(HEADER + "3,a,x\n4,a,1\n")
    (folder / "a.csv").write_text(HEADER + "1,a,1\n2,a,y\n2,b,z\n")
    first = run(warehouse, dataset, Order(uuid4(), folder, DAY))
    ids = {Path(row.file).name + str(row.line_number): row.id for row in rejects(warehouse, first)}
    assert sorted(ids) == ["a.csv3", "a.csv4", "b.csv2"]
    for where, price in (("a.csv3", "5"), ("a.csv4", "6")):
        correct(warehouse, dataset, ids[where], who=WHO, fields={"price": price})
    done = replay(warehouse, dataset, UUID(first.run_id), who=WHO)
    assert counts(done) == {"read": 3, "inserted": 1, "superseded": 1, "rejected": 1}
    assert rows(warehouse, "id, price") == [(1, 1), (2, 6), (4, 1)], "the last one in the order of the files"
    (again,) = rejects(warehouse, done)
    assert (Path(again.file).name, again.line_number) == ("b.csv", 2)
    assert counts(replayed(warehouse, dataset, done, {2: {"price": "8"}})) == {"read": 1, "inserted": 1}


def test_a_clean_hook_and_the_servers_own_limits(warehouse: Warehouse, tmp_path: Path) -> None:
    """A row that only the server can refuse is rejected again, and the others enter the table."""
    dataset = make_dataset(tmp_path, ITEMS.replace("label: {type: text", "label: {type: text, min_length: 1"))
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,x\n3,c,y\n", tmp_path)
    warehouse.execute("CREATE INDEX by_label ON items (label)")
    wide = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
    done = replayed(warehouse, dataset, first, {3: {"label": wide, "price": "1"}, 4: {"price": "3"}})
    assert counts(done) == {"read": 2, "inserted": 1, "rejected": 1}
    (again,) = rejects(warehouse, done)
    assert (again.line_number, again.rule, again.edited) == (3, "size", True)
    hooked = dataset.model_copy(update={"clean": "tests.ingest.replay.hook:clean"})
    broken = dataset.model_copy(update={"clean": "tests.ingest.replay.hook:broken"})
    with pytest.raises(HookError, match=r"raised ValueError .* 1 rows \(lines are counted among the replayed\)"):
        replayed(warehouse, broken, done, {3: {"label": "dirty"}})
    cleaned = replayed(warehouse, hooked, done, {3: {"label": "dirty"}})
    assert counts(cleaned) == {"read": 1, "inserted": 1}
    assert rows(warehouse, "id, label") == [(1, "a"), (2, "DIRTY"), (3, "c")]


def test_a_constraint_of_the_table_refuses_all_of_it(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    first = ingest(warehouse, dataset, HEADER + "1,a,1\n2,b,x\n3,c,x\n", tmp_path)
    warehouse.execute("ALTER TABLE items ADD CHECK (price <> 13)")
    with pytest.raises(
        TargetRefused, match=r"target public.items refused a row of .*\(replay\): .*Nothing was changed"
    ):
        replayed(warehouse, dataset, first, {3: {"price": "2"}, 4: {"price": "13"}})
    assert set(states(warehouse, first).values()) == {"open"}
    assert rows(warehouse, "id") == [(1,)]
    assert staging_tables(warehouse) == []


Records = list[tuple[int, int | None]]  # key and price; a negative one breaks the rule that is relaxed later, None any


class Model:
    """What the table must hold: each key's price, and the newest version that any record of it was of."""

    def __init__(self) -> None:
        self.prices: dict[int, int] = {}
        self.versions: dict[int, int] = {}

    def take(self, records: list[tuple[int, int]], version: int, *, ties: bool = True) -> None:
        """Take the last record of each key; with `ties` also where another record of that version was taken."""
        for key, price in dict(records).items():
            held = self.versions.get(key, -1)
            if version > held or (ties and version == held):
                self.prices[key], self.versions[key] = price, version


@pytest.mark.parametrize("seed", range(8))
def test_sequences_of_files_and_replays_by_a_model(warehouse: Warehouse, tmp_path: Path, seed: int) -> None:
    source, model = random.Random(seed), Model()
    strict, relaxed = make_dataset(tmp_path), make_dataset(tmp_path, RELAXED)
    runs: list[tuple[Any, int, dict[int, tuple[int, int | None]]]] = []
    files: list[Records] = []
    for number in range(9):
        if runs and source.random() < 0.5:
            account, version, bad = source.choice(runs)
            chosen = source.sample(sorted(bad), source.randint(1, len(bad)))
            edits = {line: source.randint(1, 3) for line in chosen if bad[line][1] is None or source.random() < 0.3}
            ids = {row.line_number: row.id for row in rejects(warehouse, account)}
            replayed(
                warehouse, relaxed, account, {line: {"price": str(price)} for line, price in edits.items()},
                ids=[ids[line] for line in chosen],
            )  # fmt: skip
            as_is = [(line, bad[line]) for line in sorted(chosen) if line not in edits]
            corrected = dict((bad[line][0], edits[line]) for line in sorted(edits))
            model.take(
                [(key, price) for _, (key, price) in as_is if price is not None and key not in corrected],
                version, ties=False,
            )  # fmt: skip
            model.take(list(corrected.items()), version)
            for line in chosen:
                del bad[line]
            runs = [one for one in runs if one[2]]
        else:
            again = bool(files) and source.random() < 0.3
            records = source.choice(files) if again else _records(source)
            version = source.randint(0, 4)
            text = HEADER + "".join(f"{key},a,{'x' if price is None else price}\n" for key, price in records)
            file = tmp_path / f"{number}.csv"
            file.write_text(text)
            account = ingest(
                warehouse, strict, file, tmp_path, version=DAY + timedelta(days=version), force=source.random() < 0.3
            )
            files.append(records)
            good = [(key, price) for key, price in records if price is not None and price >= 0]
            model.take(good, version)
            bad = {line: one for line, one in enumerate(records, 2) if one[1] is None or one[1] < 0}
            if bad and account.status == "done":
                runs.append((account, version, bad))
        found = dict(warehouse.execute("SELECT id::int, price::int FROM items").fetchall())
        assert found == model.prices, f"after step {number}"
    open_rows = warehouse.execute("SELECT count(*) FROM millrace.ingest_run WHERE status = 'failed'").fetchone()
    assert open_rows == (0,)


def _records(source: random.Random) -> Records:
    prices = [None, -1, -2, 1, 1, 2]  # few, so that files often leave rows unchanged
    return [(source.randint(1, 6), source.choice(prices)) for _ in range(source.randint(2, 8))]


def test_errors_are_of_the_domain() -> None:
    assert issubclass(ReplayRefused, IngestError)
    assert not ReplayRefused.retryable
