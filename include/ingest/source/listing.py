"""What a pattern or a folder means: its files and their marks, each by one look at the folder."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath

from include.ingest.errors import SourceRefused
from include.ingest.source import Mark
from include.ingest.source.local import LocalFile
from include.ingest.source.remote import Connect, mark_in, unreachable
from include.roots import Roots

Listed = list[tuple[str, Mark]]


def list_files(path: str, roots: Roots | None = None) -> Listed | None:
    """The files of a folder, or of a pattern, on this machine; None: the path is that of one file.

    Raises SourceRefused where a link leads out of the roots, whether or not anything is there: else a pattern over a
    link would tell which names are.
    """
    place = Path(path)

    def pass_by(link: Path) -> None:
        refusal = roots.refusal_of_file(link, path) if roots else None
        if refusal:
            raise SourceRefused(refusal)

    if place.is_dir():
        found = _matching(place, ("**", "*"), lambda file: _is_data(file.relative_to(place)), pass_by)
    elif glob.has_magic(path) and not place.exists():
        folder = Path(*_plain_start(list(place.parts)))
        shown = place.relative_to(folder).parts
        found = _matching(folder, shown, lambda file: not file.name.startswith("."), pass_by)
    else:
        return None
    return [(str(file), LocalFile(file, roots=roots).mark()) for file in dict.fromkeys(found) if file.is_file()]


def _matching(
    folder: Path, parts: Sequence[str], meant: Callable[[Path], bool], pass_by: Callable[[Path], None]
) -> Iterator[Path]:
    """What a pattern means below a folder, as pathlib's glob has it, of what is `meant`.

    `pass_by` is told of each link on the way, before it is followed; `**` follows none.
    """
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matching(folder, rest or ("*",), meant, pass_by)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from _matching(folder / entry.name, parts, meant, pass_by)
        return
    names = [one.name for one in _entries(folder) if fnmatchcase(one.name, first)] if glob.has_magic(first) else [first]
    for found in (folder / name for name in names):
        if not rest and not meant(found):
            continue
        if found.is_symlink():
            pass_by(found)
        if not rest:
            yield found
        elif found.is_dir():
            yield from _matching(found, rest, meant, pass_by)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing, where it is none, this user may not look, or it has just gone."""
    if not folder.is_dir():
        return []
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (PermissionError, FileNotFoundError):
        return []


def list_objects(url: str, connect: Connect) -> Listed | None:
    """The objects below a URL that ends in a slash, or of a pattern; None: the URL is that of one object."""
    scheme, _, rest = url.partition("://")
    authority, _, key = rest.partition("/")
    if not (glob.has_magic(key) or url.endswith("/")):
        return None
    folder = "/".join(_plain_start(key.split("/")))
    root = f"{scheme}://{authority}/{folder}"
    try:
        fs, path = connect(root)
        fs.invalidate_cache()  # a listing is out of date at once
        path = path.rstrip("/")
        pattern = key[len(folder) :].lstrip("/")
        found = fs.glob(f"{path}/{pattern}", detail=True) if pattern else fs.find(path, detail=True)
    except FileNotFoundError:
        return []
    except Exception as fault:  # each file system has errors of its own
        raise unreachable(fault, f"{url} can't be listed") from fault
    return [
        (f"{root.rstrip('/')}{name[len(path) :]}", mark_in(one))
        for name, one in found.items()
        if one["type"] == "file"
        and not name.endswith("/")
        and (pattern or _is_data(PurePosixPath(name[len(path) :].lstrip("/"))))
    ]


def _plain_start(parts: list[str]) -> list[str]:
    """The folders before the first one with a sign of a pattern, or before the name."""
    for number, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:number]
    return parts[:-1]


def _is_data(name: PurePath) -> bool:
    """Whether a file of a folder is meant: what begins with a dot or an underscore tells about the others."""
    return not any(part.startswith((".", "_")) for part in name.parts)
