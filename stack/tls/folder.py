"""`./run secrets --tls`: the folder `tls/`, of which deploy/tls.yaml mounts to each container what is its own.

    tls/ca.key               mode 0600, mounted nowhere
    tls/ca/ca.crt            what clients trust
    tls/SERVER/server.crt    signed by it
    tls/SERVER/server.key

Containers run as users that the machine does not know, so they read keys of mode 0644; nobody else of the machine gets
into `tls/`, which has mode 0700.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from stack.errors import StackError
from stack.settings import write_private
from stack.tls.authority import Signed, authority, is_for, is_signed, lasts, sign

LOCAL = ("localhost", "127.0.0.1")  # a server's own health check, and who comes by a port of the machine
SERVERS = ("metadata-db", "warehouse-db", "redis", "api-server")
PROXY = "proxy"  # what browsers see: a certificate of a CA that they know is better put there
LEAST_DAYS = 365  # what ends sooner is made anew
CA_NAME = "Millrace CA"


def complete(folder: Path, base_url: str = "") -> list[str]:
    """Make what the folder lacks or what ends soon, and return the names; what is there is kept.

    `base_url` is the address that browsers see. Raises StackError where the CA itself ends soon or is half there.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    ca, made = _authority(folder)
    for server, names in _wanted(base_url).items():
        place = folder / server
        if _is_there(place, ca.certificate, names):
            continue
        signed = sign(ca, names)
        _readable(place / "server.key", signed.key)
        _readable(place / "server.crt", signed.certificate)
        made.append(server)
    return made


def _wanted(base_url: str) -> dict[str, tuple[str, ...]]:
    seen = urlsplit(base_url).hostname or "localhost"
    return {server: (server, *LOCAL) for server in SERVERS} | {PROXY: tuple(dict.fromkeys((seen, *LOCAL)))}


def _authority(folder: Path) -> tuple[Signed, list[str]]:
    key, certificate = folder / "ca.key", folder / "ca" / "ca.crt"
    if not key.exists() and not certificate.exists():
        made = authority(CA_NAME)
        write_private(key, made.key.decode())
        _readable(certificate, made.certificate)
        return made, ["ca"]
    if not key.exists() or not certificate.exists():
        lacks = certificate if key.exists() else key
        raise StackError(f"{lacks} is missing: put it back, or remove {folder} to have all certificates made anew")
    if not lasts(certificate.read_bytes(), LEAST_DAYS):
        raise StackError(
            f"{certificate} ends in less than {LEAST_DAYS} days: remove {folder} to have all certificates made anew,"
            " then recreate all containers"
        )
    return Signed(certificate.read_bytes(), key.read_bytes()), []


def _is_there(place: Path, ca: bytes, names: tuple[str, ...]) -> bool:
    key, certificate = place / "server.key", place / "server.crt"
    if not key.exists() or not certificate.exists():
        return False
    found = certificate.read_bytes()
    if place.name == PROXY and not is_signed(found, ca):
        return True  # of a CA that browsers know: its owner looks after it
    return is_signed(found, ca) and is_for(found, names) and lasts(found, LEAST_DAYS)


def _readable(file: Path, content: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    file.parent.chmod(0o755)  # whatever the umask is
    write_private(file, content.decode())
    file.chmod(0o644)
