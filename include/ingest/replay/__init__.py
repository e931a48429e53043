"""Rejected rows after their run: found, corrected, dismissed, and replayed through the same checks (decision 20).

| module | what it does | role of the connection |
| --- | --- | --- |
| `listing` | `rejected`: a page of rows; `one`; `count_by_rule` | `pages` or `ingest` |
| `download` | `as_csv`: rows as a CSV file, in parts | `pages` or `ingest` |
| `corrections` | `correct`, `restore`, `dismiss`, `reopen`; `changes` only reads | `ingest` |
| `edits` | `row_of`, `cells`, `edited`: a record by column or as a whole; only reads | `pages` or `ingest` |
| `trial` | `try_record`: what the checks say of a correction; `checker` has a process do it | `ingest` |
| `requests` | `ask` for a replay, `work` it off, `close` it; `asked` lists them | `ingest` |
| `replay_run` | `replay`, `replay_chosen`: rows once more into the table | `ingest`, in no transaction |
"""
