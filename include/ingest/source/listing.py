"""What a pattern or a folder means: its files and their marks, each by one look at the folder."""

from __future__ import annotations

import glob
from pathlib import Path, PurePath, PurePosixPath

from include.ingest.source import Mark
from include.ingest.source.local import LocalFile
from include.ingest.source.remote import Connect, mark_in, unreachable
from include.roots import Roots

Listed = list[tuple[str, Mark]]


def list_files(path: str, roots: Roots | None = None) -> Listed | None:
    """The files of a folder, or of a pattern, on this machine; None: the path is that of one file."""
    place = Path(path)
    if place.is_dir():
        found = [file for file in place.rglob("*") if _is_data(file.relative_to(place))]
    elif glob.has_magic(path) and not place.exists():
        folder = Path(*_plain_start(list(place.parts)))
        found = [file for file in folder.glob(str(place.relative_to(folder))) if not file.name.startswith(".")]
    else:
        return None
    return [(str(file), LocalFile(file, roots=roots).mark()) for file in found if file.is_file()]


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
