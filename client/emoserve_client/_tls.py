"""Certificates: which files, and whether they have changed since they were read."""

from __future__ import annotations

import ssl
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from emoserve_client.errors import InputError


@dataclass(frozen=True)
class Tls:
    """Files in PEM format, read again when they change.

    `ca` is who signs the server's certificate (default: those the system trusts); `certificate`
    and `key` are yours, for mutual TLS. `server_name` is what the server's certificate says,
    where that is not the host of the address.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError("mutual TLS needs both certificate and key", reason="bad_option")

    def stamp(self) -> Hashable:
        """Changes when one of the files does."""
        return tuple(
            None if path is None else (path, *_modified(Path(path)))
            for path in (self.ca, self.certificate, self.key)
        )

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The bytes of ca, key and certificate, in the order that gRPC takes them."""
        files = (self.ca, self.key, self.certificate)
        ca, key, certificate = (None if path is None else Path(path).read_bytes() for path in files)
        return ca, key, certificate

    def context(self) -> ssl.SSLContext:
        """The same for HTTP."""
        made = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        if self.certificate is not None and self.key is not None:
            made.load_cert_chain(str(self.certificate), str(self.key))
        return made


def _modified(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError as err:
        raise InputError(f"cannot read the certificate file {path}", reason="bad_option") from err
    # A renewed file may come with the old time (cp -p): the inode changes with it.
    return facts.st_mtime_ns, facts.st_ino
