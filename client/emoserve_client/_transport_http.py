"""HTTP, synchronous and for asyncio, with httpx.

Not geventhttpclient: it cannot be shared between threads, and clashes with Locust's gevent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Hashable, Iterator, Mapping
from typing import Any

import httpx

from emoserve_client._endpoint import Endpoint
from emoserve_client._events import Events
from emoserve_client._faults import http_fault
from emoserve_client._message import Buffer, Fault, Kind, Message, Raw
from emoserve_client._renewal import Renewal
from emoserve_client._transport import Connection

Headers = Mapping[str, str]
CHUNK_BYTES = 1 << 20


class HttpTransport:
    """Synchronous HTTP to one server; any number of threads may use it."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._connection = connection
        self._clients = Renewal(
            lambda: httpx.Client(**_client_options(endpoint, connection)),
            lambda client: client.close(),
            lambda: _stamp(endpoint, connection),
        )

    def unary(self, message: Message[Any], *, timeout_s: float | None, headers: Headers) -> Raw:
        deadline = _Deadline(timeout_s)
        with self._clients.lend() as client:
            try:
                with client.stream(**self._request(message, deadline, headers)) as response:
                    pieces = []
                    for piece in response.iter_bytes():
                        deadline.check()
                        pieces.append(piece)
            except httpx.HTTPError as err:
                raise _fault(err) from err
        return _raw(response, b"".join(pieces))

    def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> Generator[Raw, None, None]:
        deadline, events = _Deadline(timeout_s), Events()
        with self._clients.lend() as client:
            try:
                with client.stream(**self._request(message, deadline, headers)) as response:
                    if response.status_code >= 300:
                        raise http_fault(response.status_code, response.headers, response.read())
                    for piece in response.iter_bytes():
                        deadline.check()
                        for event in events.feed(piece):
                            yield Raw(event)
            except httpx.HTTPError as err:
                raise _fault(err) from err
        events.end()

    def close(self) -> None:
        self._clients.close()

    def _request(
        self, message: Message[Any], deadline: _Deadline, headers: Headers
    ) -> dict[str, Any]:
        return _request(message, deadline, headers, self._connection, _chunks(message.parts))


class AsyncHttpTransport:
    """HTTP for asyncio to one server, in one event loop."""

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._connection = connection
        self._clients = Renewal(
            lambda: httpx.AsyncClient(**_client_options(endpoint, connection)),
            lambda _: None,
            lambda: _stamp(endpoint, connection),
        )

    async def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> Raw:
        with self._clients.lend() as client:
            try:
                request = self._request(message, _Deadline(timeout_s), headers)
                response = await asyncio.wait_for(client.request(**request), timeout_s)
            except asyncio.TimeoutError as err:
                raise Fault(Kind.TIMEOUT, f"no answer within {timeout_s:.3g} s") from err
            except httpx.HTTPError as err:
                raise _fault(err) from err
        return _raw(response, response.content)

    async def stream(
        self, message: Message[Any], *, timeout_s: float | None, headers: Headers
    ) -> AsyncGenerator[Raw, None]:
        deadline, events = _Deadline(timeout_s), Events()
        with self._clients.lend() as client:
            try:
                request = self._request(message, deadline, headers)
                async with client.stream(**request) as response:
                    if response.status_code >= 300:
                        body = await response.aread()
                        raise http_fault(response.status_code, response.headers, body)
                    async for piece in response.aiter_bytes():
                        deadline.check()
                        for event in events.feed(piece):
                            yield Raw(event)
            except httpx.HTTPError as err:
                raise _fault(err) from err
        events.end()

    async def close(self) -> None:
        if (client := self._clients.retire()) is not None:
            await client.aclose()

    def _request(
        self, message: Message[Any], deadline: _Deadline, headers: Headers
    ) -> dict[str, Any]:
        return _request(message, deadline, headers, self._connection, _achunks(message.parts))


class _Deadline:
    """httpx limits each read by itself; this limits them all together."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def check(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise Fault(Kind.TIMEOUT, f"the answer was not complete within {self.timeout_s:.3g} s")


def _stamp(endpoint: Endpoint, connection: Connection) -> Hashable:
    return (os.getpid(), connection.tls.stamp() if endpoint.secure else None)


def _client_options(endpoint: Endpoint, connection: Connection) -> dict[str, Any]:
    most = None if connection.channels <= 1 else connection.channels
    return {
        "base_url": str(endpoint),
        "verify": connection.tls.context() if endpoint.secure else True,
        "limits": httpx.Limits(max_connections=most, max_keepalive_connections=32),
        # A proxy from the environment would stand between us and a server on loopback.
        "trust_env": False,
    }


def _request(
    message: Message[Any],
    deadline: _Deadline,
    headers: Headers,
    connection: Connection,
    content: Any,
) -> dict[str, Any]:
    connect_s = connection.connect_timeout_s
    if deadline.timeout_s is not None:
        connect_s = min(connect_s, deadline.timeout_s)
    built = {**message.headers, **headers}
    if message.parts:
        # Said beforehand: without it httpx would send the parts in HTTP chunks.
        built["content-length"] = str(message.size_bytes)
    request = {
        "method": message.method,
        "url": message.path,
        "headers": built,
        "content": content if message.parts else None,
        "timeout": httpx.Timeout(deadline.timeout_s, connect=connect_s),
    }
    if name := connection.tls.server_name:
        request["extensions"] = {"sni_hostname": name}
    return request


def _chunks(parts: tuple[Buffer, ...]) -> Iterator[bytes]:
    """The parts in pieces of at most a mebibyte, so that no copy is larger than that."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])


async def _achunks(parts: tuple[Buffer, ...]) -> AsyncIterator[bytes]:
    for chunk in _chunks(parts):
        yield chunk


def _raw(response: httpx.Response, body: bytes) -> Raw:
    if response.status_code >= 300:
        raise http_fault(response.status_code, response.headers, body)
    return Raw(body, response.headers)


def _fault(err: httpx.HTTPError) -> Fault:
    """The fault in an httpx error that is not a status."""
    text = str(err) or type(err).__name__
    if isinstance(err, httpx.NetworkError) and ("SSL" in text or "certificate" in text.lower()):
        return Fault(Kind.UNTRUSTED, text)
    if isinstance(err, httpx.ConnectError | httpx.ConnectTimeout):
        return Fault(Kind.UNREACHABLE, text)
    if isinstance(err, httpx.TimeoutException):
        return Fault(Kind.TIMEOUT, f"no answer in time ({type(err).__name__})")
    return Fault(Kind.RESET, text)
