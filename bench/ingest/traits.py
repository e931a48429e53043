"""What a contender can do, found out by trying it on tiny files: upsert, survive a bad row, read quoted newlines."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from bench.ingest.peers import Peer
from bench.place import PEERS, Place

ROWS = 200
HEADER = "order_id,customer_id,placed_at,status,currency,amount,quantity,sku,email,express,ship_date,note"
NOTE = "second floor\nleft door"


@dataclass(frozen=True)
class Traits:
    """None: not tried."""

    upserts: bool | None = None
    survives_bad_row: bool | None = None
    reads_quoted_newlines: bool | None = None


def traits_of(peer: Peer, place: Place) -> Traits:
    """Try it. Raises Absent."""
    first, second, bad = (place.work / f"tiny-{name}.csv" for name in ("first", "second", "bad"))
    first.write_text(_lines(range(1, ROWS + 1), amount="1.50"))
    second.write_text(_lines(range(ROWS, ROWS + 2), amount="2.50"))
    bad.write_text(_lines(range(1, ROWS + 1), amount="1.50").replace("7,1007,", "7,twelve,", 1))
    place.fresh_target(PEERS)
    peer.load(place, first)
    notes = _read(place, peer, "note", 2)
    peer.load(place, second)
    changed = _read(place, peer, "amount::text::numeric = 2.5", ROWS) == [True]
    upserted = changed and place.count(PEERS, peer.table) == ROWS + 1
    place.fresh_target(PEERS)
    peer.load(place, bad)
    survived = _read(place, peer, "order_id", ROWS) == [ROWS] and not _read(place, peer, "order_id", 7)
    return Traits(upserted, survived, notes == [NOTE])


def _lines(ids: range, amount: str) -> str:
    rows = [
        f"{i},{i + 1000},2026-03-0{i % 9 + 1}T10:00:00Z,paid,EUR,{amount},1,SKU-1,a@example.com,true,2026-03-10,"
        + ('"second floor\nleft door"' if i % 2 == 0 else "plain")
        for i in ids
    ]
    return "\n".join([HEADER, *rows]) + "\n"


def _read(place: Place, peer: Peer, what: str, order_id: int) -> list[object]:
    table = sql.Identifier(*peer.table.split("."))
    with psycopg.connect(place.dsn(PEERS)) as connection:
        try:
            query = sql.SQL("SELECT {} FROM {} WHERE order_id = %s").format(sql.SQL(what), table)
            return [value for (value,) in connection.execute(query, [order_id])]
        except psycopg.errors.UndefinedTable:
            return []
