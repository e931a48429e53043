"""PostgreSQL judges files: what Millrace loads, rejects and numbers is what COPY makes of the same bytes.

Where COPY explains a file otherwise by a choice that `docs/fuzz.md` lists, Python's `csv` judges the rest of it.
"""

from fuzz.files.judge import FilesJudge, open_judge

__all__ = ["FilesJudge", "open_judge"]
