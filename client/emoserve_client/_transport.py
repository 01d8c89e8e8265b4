"""The seam between the logic and the network: a `Transport` moves bytes to one server and back.

Real ones: `_transport_grpc` and `_transport_http`, each synchronous and for asyncio. The public
fake is `emoserve_client.testing`. All raise nothing but `Fault`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from emoserve_client._endpoint import Endpoint
from emoserve_client._message import Message, Raw
from emoserve_client._tls import Tls


@dataclass(frozen=True)
class Connection:
    """How to connect: certificates, patience with a silent address, connections for each server.

    `keepalive_s` pings while a call runs; the server must allow it
    (`--grpc-http2-min-recv-ping-interval-without-data`), or it hangs up on the caller.
    """

    tls: Tls = field(default_factory=Tls)
    connect_timeout_s: float = 5.0
    channels: int = 1
    keepalive_s: float | None = None


class Transport(Protocol):
    """Synchronous; one server."""

    def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        """The reply."""
        ...

    def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Generator[Raw, None, None]:
        """The replies as they come; closing the iterator cancels the request."""
        ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw: ...

    def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> AsyncGenerator[Raw, None]: ...

    async def close(self) -> None: ...


class Connector(Protocol):
    """Makes the transports of a client; a fake gives its own."""

    def connect(self, endpoint: Endpoint) -> Transport: ...

    def connect_async(self, endpoint: Endpoint) -> AsyncTransport: ...
