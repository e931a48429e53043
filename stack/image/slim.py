"""`python slim.py <environment>`: remove from an environment what an image never runs, while it is built.

Only files that no module of ours and of Airflow reads: tests and sources that packages bring along, the library of
pyarrow's Flight, which nothing else links, the names of months in all languages but English, descriptions of AWS'
services that no file system asks, and symbols that only a debugger reads. A library that does not load without them, as
some that were patched for their wheel, keeps them. `./run compose-test` tries what is left.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TESTED = ("pandas", "numpy", "scipy", "numba", "pyarrow")  # 90 MB of tests
OF_PYARROW = ("include", "src", "libarrow_flight.so*", "libarrow_python_flight.so*", "_flight.*")
SPOKEN = ("root", "en")  # Babel's languages: the page of the login is in English
# Objects, and the ways to log in to them. boto3, which is there only with a further package, may ask for any other.
ASKED = ("s3", "sts", "sso", "sso-oidc", "signin")
SOURCES = {".c", ".cpp", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".hpp", ".a", ".map"}
LARGE_BYTES = 1 << 20  # of a library from which on symbols are worth it
LOADS = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def unused(site: Path) -> Iterator[Path]:
    """Files and folders of a site-packages that go."""
    for package in TESTED:
        yield from (path for path in site.joinpath(package).rglob("tests") if path.is_dir())
    for pattern in OF_PYARROW:
        yield from site.joinpath("pyarrow").glob(pattern)
    spoken = (*(f"{name}.dat" for name in SPOKEN), *(f"{name}_*.dat" for name in SPOKEN))
    yield from (path for path in site.glob("babel/locale-data/*.dat") if not any(map(path.match, spoken)))
    if not site.joinpath("boto3").is_dir():
        yield from (path for path in site.glob("botocore/data/*") if path.is_dir() and path.name not in ASKED)
    yield from (path for path in site.rglob("*") if path.suffix in SOURCES and path.is_file())
    yield from site.rglob("__pycache__")  # compiled anew, once for all


def strip(library: Path) -> None:
    """Remove a library's symbols for debuggers, unless it does not load without them."""
    small = library.with_suffix(".stripped")
    done = subprocess.run(["strip", "--strip-unneeded", "-o", small, library], check=False, capture_output=True)
    if done.returncode == 0 and _loads(small) == _loads(library):
        small.replace(library)
    small.unlink(missing_ok=True)


def _loads(library: Path) -> bool:
    return subprocess.run([sys.executable, "-c", LOADS, library], check=False, capture_output=True).returncode == 0


def main(environment: str) -> None:
    """Remove it all, and say how much is left."""
    for site in Path(environment).glob("lib/python3*/site-packages"):
        for path in list(unused(site)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)  # it may lie in a folder that has gone
            else:
                path.unlink(missing_ok=True)
        for library in site.rglob("*.so*"):
            if not library.is_symlink() and library.stat().st_size >= LARGE_BYTES:
                strip(library)
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
        print(f"slim: {site} has {size >> 20} MB")


if __name__ == "__main__":
    main(sys.argv[1])
