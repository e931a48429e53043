"""What a form, a dataset's `source` or a plan may name: the inboxes, and what $MILLRACE_ROOTS lists beside them.

Who can start a run can type a path, and without bounds that is every file that a worker can read, its own secrets in
/proc among them. So a URL is judged by its text, and a local file by where it really lies once it is open: a link in
the inbox leads nowhere else. The command line is its user's own shell, and is not asked.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from include.own_folders import inbox

VARIABLE = "MILLRACE_ROOTS"
ANYTHING = "*"
SYSTEM = (Path("/proc"), Path("/sys"))  # no data lies there, whatever is listed
ALIKE = {"s3a": "s3"}  # schemes that are one storage


@dataclass(frozen=True)
class Roots:
    """Folders, and URLs as s3://connection@bucket/prefix; s3://connection@ is all that the Connection reaches."""

    folders: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    anything: bool = False

    def refusal(self, place: str) -> str | None:
        """Why a path, a pattern, a folder or a URL is not read; None: it may be, as far as its text tells."""
        if self.anything:
            return None
        if "://" in place and not place.startswith("file://"):
            return None if any(_covers(root, place) for root in self.urls) else self._told(place)
        path = local_path(place) if place.startswith("file://") else Path(place)
        plain, pattern = _split(path)
        if "\0" in str(path) or ".." in pattern:
            return self._told(place)
        # A link may have a name that looks like a pattern.
        return self.refusal_of_file(plain, place) or self.refusal_of_file(path, place)

    def refusal_of_file(self, path: Path, name: str) -> str | None:
        """The same of one local path, by where all of its links lead. Whether anything is there is not told."""
        if self.anything:
            return None
        try:
            real = Path(os.path.realpath(path))
        except OSError:  # a link that this process may not follow
            return self._told(name)
        return None if self._holds(real) else self._told(name)

    def refusal_of_open(self, handle: int, name: str) -> str | None:
        """The same of an open file: what was looked at before it was opened may be another one by now."""
        if self.anything:
            return None
        return None if self._holds(Path(f"/proc/self/fd/{handle}").readlink()) else self._told(name)

    def _holds(self, real: Path) -> bool:
        def below(folder: Path) -> bool:
            return real == folder or folder in real.parents

        return any(below(Path(os.path.realpath(folder))) for folder in self.folders) and not any(map(below, SYSTEM))

    def _told(self, name: str) -> str:
        allowed = ", ".join([*map(str, self.folders), *self.urls])
        return (
            f"{name} lies outside the places that runs may read: {allowed}. Deliver it there, or have whoever runs"
            f" Airflow add its folder, or its prefix as s3://connection@bucket/prefix, to ${VARIABLE}"
        )


def roots(environment: Mapping[str, str] | None = None) -> Roots:
    """The inbox and that of pictures, and what $MILLRACE_ROOTS lists, with commas or line ends in between."""
    environment = os.environ if environment is None else environment
    listed = [part.strip() for part in re.split(r"[,\n]", environment.get(VARIABLE, "")) if part.strip()]
    places = list(dict.fromkeys([inbox(environment), *_of_pictures(environment), *listed]))
    return Roots(
        tuple(map(_folder, filter(_is_local, places))),
        tuple(place for place in places if not _is_local(place)),
        ANYTHING in listed,
    )


def local_path(url: str) -> Path:
    """The local file that a file:// URL means, whatever bytes its name has."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path)))


def _of_pictures(environment: Mapping[str, str]) -> Iterator[str]:
    chosen = environment.get("MILLRACE_IMAGES_INBOX")
    if chosen:
        yield chosen


def _is_local(place: str) -> bool:
    return place != ANYTHING and ("://" not in place or place.startswith("file://"))


def _folder(place: str) -> Path:
    return local_path(place) if place.startswith("file://") else Path(place).expanduser().absolute()


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """What stands before the first sign of a pattern, and the rest."""
    for number, part in enumerate(path.parts):
        if glob.has_magic(part):
            return Path(*path.parts[:number]), path.parts[number:]
    return path, ()


def _covers(root: str, place: str) -> bool:
    """Whether a URL lies below another one. What two readers of one URL could take for two places does not."""
    scheme, netloc, key = _parts(place)
    root_scheme, root_netloc, prefix = _parts(root)
    if "::" in place or not place.isprintable() or netloc.count("@") > 1 or {".", ".."} & _steps(key):
        return False
    if not root_netloc or scheme != root_scheme:
        return False
    whole_login = root_netloc.endswith("@") and netloc.startswith(root_netloc)
    prefix = prefix.rstrip("/")
    return (whole_login or netloc == root_netloc) and (not prefix or key == prefix or key.startswith(f"{prefix}/"))


def _steps(key: str) -> set[str]:
    """The steps of a path as any server may read them: decoded more than once, and without `;parameters`."""
    before = ""
    while key != before:  # it gets shorter each time
        before, key = key, unquote(key)
    return {step.partition(";")[0] for step in key.replace("\\", "/").split("/")}


def _parts(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.partition("://")
    netloc, _, key = rest.partition("/")
    return ALIKE.get(scheme, scheme), netloc, key
