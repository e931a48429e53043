"""Rejected rows after their run: found, corrected, dismissed, and replayed through the same checks (decision 20).

| module | what it does | role of the connection |
| --- | --- | --- |
| `listing` | `rejected`: a page of rows; `one`; `count_by_rule` | `pages` or `ingest` |
| `download` | `as_csv`: rows as a CSV file, in parts | `pages` or `ingest` |
| `corrections` | `correct`, `dismiss`, `reopen`; `changes` only reads | `ingest` |
| `replay_run` | `replay`: rows once more into the table | `ingest`, in no transaction |
"""
