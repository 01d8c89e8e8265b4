"""Addresses: what a caller writes, and where that leads."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from emoserve_client.errors import InputError

DEFAULT_URL = "grpc://127.0.0.1:8001"
_PORTS = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443}
_ACCEPTED = (
    "grpc://host:8001, grpcs://host, http://host:8000, https://host, "
    "or grpc+dns://name for every address that the name has"
)


@dataclass(frozen=True)
class Endpoint:
    """One server. `name` is what its certificate must say, where that differs from `host`."""

    scheme: str
    host: str
    port: int
    name: str = ""

    @property
    def address(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def secure(self) -> bool:
        return self.scheme in ("grpcs", "https")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


@dataclass(frozen=True)
class Target:
    """An address as written: one endpoint, or a name to look up (`resolve`) again and again."""

    endpoint: Endpoint
    resolve: bool = False

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the target leads now. Blocks on DNS when `resolve` is set.

        Raises:
            OSError: the name cannot be looked up.
        """
        one = self.endpoint
        if not self.resolve:
            return (one,)
        found = socket.getaddrinfo(one.host, one.port, type=socket.SOCK_STREAM)
        hosts = dict.fromkeys(str(address[0]) for *_, address in found)
        return tuple(Endpoint(one.scheme, host, one.port, name=one.host) for host in hosts)


def default_url() -> str:
    """The address from the environment variable EMOSERVE_URL, or the local default."""
    return os.environ.get("EMOSERVE_URL") or DEFAULT_URL


def targets(url: str | Sequence[str] | None) -> tuple[Target, ...]:
    """The targets that `url` names: one address, several in a list, or several with commas.

    Raises:
        InputError: an address is not understood, or gRPC and HTTP are mixed.
    """
    given = [url or default_url()] if url is None or isinstance(url, str) else list(url)
    texts = [text.strip() for one in given for text in one.split(",") if text.strip()]
    if not texts:
        raise InputError(f"no address was given; write {_ACCEPTED}", reason="bad_address")
    made = tuple(_target(text) for text in texts)
    if len(schemes := {one.endpoint.scheme for one in made}) > 1:
        raise InputError(
            f"one client speaks one protocol, not {' and '.join(sorted(schemes))}",
            reason="bad_address",
        )
    return made


def _target(text: str) -> Target:
    if text.startswith("dns:///"):  # gRPC's own way to write it
        text = "grpc+dns://" + text.removeprefix("dns:///")
    parts = urlsplit(text if "://" in text else f"grpc://{text}")
    scheme, _, resolve = parts.scheme.partition("+")
    wrong = scheme not in _PORTS or resolve not in ("", "dns") or not parts.hostname
    try:
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        wrong = True
    if parts.username is not None or parts.password is not None:
        # Never shown: an address is in every repr, error and log line.
        raise InputError("give credentials as `auth`, not in the address", reason="bad_address")
    if wrong or parts.path.strip("/") or parts.query:
        raise InputError(f"{text!r} is no address; write {_ACCEPTED}", reason="bad_address")
    return Target(Endpoint(scheme, parts.hostname or "", port), bool(resolve))
