"""Small faults in SQL texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

IS_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM|WHERE|MERGE INTO|ON CONFLICT|ORDER BY|JOIN|CASE WHEN)\b")
CHANGES = [
    (r"(?<= )<(?= )", "<="),
    (r"(?<= )<=(?= )", "<"),
    (r"(?<= )>(?= )", ">="),
    (r"(?<= )>=(?= )", ">"),
    (r"(?<= )=(?= )", "<>"),
    (r"(?<= )<>(?= )", "="),
    (r"\bIS NOT DISTINCT FROM\b", "IS DISTINCT FROM"),
    (r"\bIS DISTINCT FROM\b", "IS NOT DISTINCT FROM"),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bNOT EXISTS\b", "EXISTS"),
    (r"(?<!NOT )\bEXISTS\b(?= ?\()", "NOT EXISTS"),
    (r"\bAND\b", "OR"),
    (r"\bOR\b(?! REPLACE)", "AND"),
    (r"\bNOT (?=\()", ""),
    (r"\bmax(?=\()", "min"),
    (r"\bmin(?=\()", "max"),
    (r"\bgreatest(?=\()", "least"),
    (r"\bLEFT JOIN\b", "JOIN"),
    (r"\bUNION ALL\b", "UNION"),
    (r"\bDESC\b", "ASC"),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
]
SETS = re.compile(r"\bSET\b(?:(?!\bWHERE\b|\bFROM\b).)*$", re.DOTALL)  # what follows up to here is assigned to


def changed_sql(whole: str, tokens: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """(first byte, end, new text) of each change to SQL. `tokens` are its string tokens, each with its place."""
    if not IS_SQL.search(whole):
        return
    for place, token in tokens:
        for pattern, new in CHANGES:
            for hit in re.finditer(pattern, token):
                before = token[: hit.start()]
                if hit[0] == "=" and SETS.search(before):
                    continue  # an assignment
                if hit[0] == "AND" and re.search(r"\bBETWEEN [^ ]+ $", before):
                    continue
                at = place + len(before.encode())
                yield at, at + len(hit[0].encode()), new
