"""HTTP, synchronous and for asyncio, with httpcore, the part of httpx that moves bytes.

Not httpx itself: a small request takes 0.56 ms through it and 0.26 ms through httpcore, and its
import takes 0.14 s more. Not geventhttpclient: it cannot be shared between threads, and clashes
with Locust's gevent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Hashable, Iterator, Mapping
from typing import Any

import httpcore

from emoserve_client._endpoint import Endpoint
from emoserve_client._events import Events
from emoserve_client._faults import http_fault
from emoserve_client._message import Buffer, Fault, Kind, Message, Raw
from emoserve_client._renewal import Renewal
from emoserve_client._transport import Connection

Headers = Mapping[str, str]
CHUNK_BYTES = 1 << 20
_IDLE_CONNECTIONS, _IDLE_S = 32, 30.0
# What httpcore raises about a connection; its pool's own mistakes are not among them. OSError: what
# TLS says while reading in asyncio passes through it as it is.
_LOST = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class HttpTransport:
    """Synchronous HTTP to one server; any number of threads may use it."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._requests = _Requests(endpoint, connection)
        self._pools = Renewal(
            lambda: httpcore.ConnectionPool(**_pool_options(endpoint, connection)),
            lambda pool: pool.close(),
            lambda: _stamp(endpoint, connection),
        )

    def unary(self, message: Message[Any], *, timeout_s: float | None, headers: Headers) -> Raw:
        deadline = _Deadline(timeout_s)
        request = self._requests.make(message, deadline, headers, _chunks(message.parts))
        with self._pools.lend() as pool:
            try:
                with pool.stream(**request) as response:
                    pieces = []
                    for piece in response.iter_stream():
                        deadline.check()
                        pieces.append(piece)
            except _LOST as err:
                raise _fault(err) from err
        return _checked(response, b"".join(pieces))

    def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> Generator[Raw, None, None]:
        deadline, events = _Deadline(timeout_s), Events()
        request = self._requests.make(message, deadline, headers, _chunks(message.parts))
        with self._pools.lend() as pool:
            try:
                with pool.stream(**request) as response:
                    if response.status >= 300:
                        _checked(response, response.read())
                    for piece in response.iter_stream():
                        deadline.check()
                        for event in events.feed(piece):
                            yield Raw(event)
            except _LOST as err:
                raise _fault(err) from err
        events.end()

    def close(self) -> None:
        self._pools.close()


class AsyncHttpTransport:
    """HTTP for asyncio to one server, in one event loop."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._requests = _Requests(endpoint, connection)
        self._pools = Renewal(
            lambda: httpcore.AsyncConnectionPool(**_pool_options(endpoint, connection)),
            lambda _: None,
            lambda: _stamp(endpoint, connection),
        )

    async def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> Raw:
        content = _achunks(message.parts)
        request = self._requests.make(message, _Deadline(timeout_s), headers, content)
        with self._pools.lend() as pool:
            try:
                response = await asyncio.wait_for(pool.request(**request), timeout_s)
            except asyncio.TimeoutError as err:
                raise Fault(Kind.TIMEOUT, f"no answer within {timeout_s:.3g} s") from err
            except _LOST as err:
                raise _fault(err) from err
        return _checked(response, response.content)

    async def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> AsyncGenerator[Raw, None]:
        deadline, events = _Deadline(timeout_s), Events()
        request = self._requests.make(message, deadline, headers, _achunks(message.parts))
        with self._pools.lend() as pool:
            try:
                async with pool.stream(**request) as response:
                    if response.status >= 300:
                        _checked(response, await response.aread())
                    async for piece in response.aiter_stream():
                        deadline.check()
                        for event in events.feed(piece):
                            yield Raw(event)
            except _LOST as err:
                raise _fault(err) from err
        events.end()

    async def close(self) -> None:
        if (pool := self._pools.retire()) is not None:
            await pool.aclose()


class _Deadline:
    """httpcore limits each read by itself; this limits them all together."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def check(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise Fault(Kind.TIMEOUT, f"the answer was not complete within {self.timeout_s:.3g} s")


class _Requests:
    """Makes what httpcore takes of a message for one server."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._endpoint, self._connect_s = endpoint, connection.connect_timeout_s
        self._name = connection.tls.server_name or endpoint.name
        self._host = endpoint.address.encode()

    def make(
        self, message: Message[Any], deadline: _Deadline, headers: Headers, content: Any
    ) -> dict[str, Any]:
        """The arguments of a request or a stream."""
        endpoint, limit = self._endpoint, deadline.timeout_s
        connect_s = self._connect_s if limit is None else min(self._connect_s, limit)
        timeouts = {"connect": connect_s, "read": limit, "write": limit, "pool": limit}
        extensions: dict[str, Any] = {"timeout": timeouts}
        if self._name:
            extensions["sni_hostname"] = self._name
        sent = [(b"host", self._host)]
        sent += [
            (name.encode(), value.encode())
            for name, value in (*message.headers.items(), *headers.items())
        ]
        if message.parts:
            # Said beforehand: without it the parts would go as HTTP chunks.
            sent.append((b"content-length", str(message.size_bytes).encode()))
        return {
            "method": message.method,
            "url": httpcore.URL(
                scheme=endpoint.scheme.encode(),
                host=endpoint.host.encode(),
                port=endpoint.port,
                target=message.path.encode(),
            ),
            "headers": sent,
            "content": content if message.parts else None,
            "extensions": extensions,
        }


def _stamp(endpoint: Endpoint, connection: Connection) -> Hashable:
    return (os.getpid(), connection.tls.stamp() if endpoint.secure else None)


def _pool_options(endpoint: Endpoint, connection: Connection) -> dict[str, Any]:
    return {
        "ssl_context": connection.tls.context() if endpoint.secure else None,
        "max_connections": None if connection.channels <= 1 else connection.channels,
        "max_keepalive_connections": _IDLE_CONNECTIONS,
        "keepalive_expiry": _IDLE_S,
    }


def _chunks(parts: tuple[Buffer, ...]) -> Iterator[bytes]:
    """The parts in pieces of at most a mebibyte, so that no copy is larger than that."""
    small = sum(len(part) for part in parts) <= CHUNK_BYTES
    if small:
        yield b"".join(parts)
        return
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])


async def _achunks(parts: tuple[Buffer, ...]) -> AsyncIterator[bytes]:
    for chunk in _chunks(parts):
        yield chunk


def _checked(response: httpcore.Response, body: bytes) -> Raw:
    """The reply, if it is one.

    Raises:
        Fault: its status says that it is not.
    """
    headers = {
        name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers
    }
    if response.status >= 300:
        raise http_fault(response.status, headers, body)
    return Raw(body, headers)


def _fault(err: Exception) -> Fault:
    """The fault in an error of the connection."""
    text = str(err) or type(err).__name__
    network = isinstance(err, httpcore.NetworkError | OSError)
    if network and ("SSL" in text or "certificate" in text.lower()):
        return Fault(Kind.UNTRUSTED, text)
    if isinstance(err, httpcore.ConnectError | httpcore.ConnectTimeout):
        return Fault(Kind.UNREACHABLE, text)
    if isinstance(err, httpcore.TimeoutException):
        return Fault(Kind.TIMEOUT, f"no answer in time ({type(err).__name__})")
    return Fault(Kind.RESET, text)
