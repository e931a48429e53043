"""Rejected rows after their run: found, corrected, dismissed, and replayed through the same checks (decision 19).

`listing` and `download` only read, as role `pages` may. `corrections` and `replay` write, as role `ingest`.
"""
