"""gRPC and HTTP for many greenlets in one process: our client's calls, carried by libcurl.

What a call costs a process of Locust's is taken from a server on the same machine: 0.4 ms through
grpcio, whose threads gevent has to go around, 0.6 through httpcore, 0.2 through libcurl, which
waits for nothing itself and tells gevent's loop what to wait for (docs/benchmarks.md). TLS and
streams stay with the client's own transports.

Source: https://curl.se/libcurl/c/libcurl-multi.html, "multi_socket"; for gRPC
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import gevent
import grpc
import pycurl
from gevent.hub import Waiter

from emoserve_client._connect import Network
from emoserve_client._endpoint import Endpoint
from emoserve_client._faults import grpc_fault, http_fault
from emoserve_client._message import Fault, Kind, Message, Raw
from emoserve_client._transport import Connection, Transport
from emoserve_client._transport_grpc import GrpcTransport
from emoserve_client._transport_http import HttpTransport

_MOST_CONNECTIONS = 10_000  # an open loop has as many calls under way as the server leaves waiting
_READ, _WRITE = 1, 2  # gevent's loop.io
_EVENTS = {pycurl.POLL_IN: _READ, pycurl.POLL_OUT: _WRITE, pycurl.POLL_INOUT: _READ | _WRITE}
_CLOSED = -1  # no code of libcurl's
_KINDS = {
    pycurl.E_COULDNT_CONNECT: Kind.UNREACHABLE,
    pycurl.E_COULDNT_RESOLVE_HOST: Kind.UNREACHABLE,
    pycurl.E_OPERATION_TIMEDOUT: Kind.TIMEOUT,
    _CLOSED: Kind.CANCELLED,
}
_STATUSES = {str(code.value[0]): code.name for code in grpc.StatusCode}
_PREFIX_BYTES = 5  # of a gRPC message: compressed or not, and its length


class GeventNetwork(Network):
    """Connects as the client does, but for what is not encrypted.

    Args:
        timeout_s: for a server that is silent, where a call has no deadline of its own.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        super().__init__(connection)
        self._timeout_s = timeout_s

    def connect(self, endpoint: Endpoint) -> Transport:
        if endpoint.scheme == "http":
            return CurlHttp(endpoint, self._connection, self._timeout_s)
        if endpoint.scheme == "grpc":
            return CurlGrpc(endpoint, self._connection, self._timeout_s)
        return super().connect(endpoint)


class CurlHttp(HttpTransport):
    """HTTP/1.1 to one server for the greenlets of one thread."""

    def __init__(self, endpoint: Endpoint, connection: Connection, timeout_s: float) -> None:
        super().__init__(endpoint, connection)
        self._curl = _Curl(endpoint, pycurl.CURL_HTTP_VERSION_1_1, connection, timeout_s)

    def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        sent = {"Expect": "", **message.headers, **headers}  # no question before a large body
        body = None if message.method == "GET" else b"".join(message.parts)
        heard = self._curl.call(message.path, body, sent, timeout_s)
        if heard.status >= 300:
            raise http_fault(heard.status, heard.headers, heard.body)
        return Raw(heard.body, heard.headers)

    def close(self) -> None:
        self._curl.close()
        super().close()


class CurlGrpc(GrpcTransport):
    """gRPC to one server for the greenlets of one thread, over one HTTP/2 connection."""

    def __init__(self, endpoint: Endpoint, connection: Connection, timeout_s: float) -> None:
        super().__init__(endpoint, connection)
        version = pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
        self._curl = _Curl(endpoint, version, connection, timeout_s)

    def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        sent = {"content-type": "application/grpc", "te": "trailers", **message.headers, **headers}
        if timeout_s is not None:
            sent["grpc-timeout"] = f"{max(1, round(timeout_s * 1000))}m"
        body = b"".join(message.parts)
        framed = b"\0" + len(body).to_bytes(_PREFIX_BYTES - 1, "big") + body
        heard = self._curl.call(message.path, framed, sent, timeout_s)
        status = heard.headers.get("grpc-status")
        if heard.status != 200 or status is None:
            raise Fault(Kind.RESET, f"HTTP status {heard.status}, gRPC status {status}")
        if status != "0":
            details = unquote(heard.headers.get("grpc-message", ""))
            raise grpc_fault(_STATUSES.get(status, "UNKNOWN"), details, heard.headers)
        return Raw(_message(heard.body))

    def close(self) -> None:
        self._curl.close()
        super().close()


def _message(body: bytes) -> bytes:
    """Return the one message of a gRPC answer."""
    prefix, message = body[:_PREFIX_BYTES], body[_PREFIX_BYTES:]
    if len(prefix) < _PREFIX_BYTES or int.from_bytes(prefix[1:], "big") != len(message):
        raise Fault(Kind.GARBLED, f"{len(body)} bytes that are no gRPC message")
    if prefix[0]:
        raise Fault(Kind.GARBLED, "a compressed answer, which nobody asked for")
    return message


class _Heard(NamedTuple):
    """An answer; the names of its headers and trailers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Curl:
    """Calls to one server through libcurl, which gevent's loop tells when a socket is ready."""

    def __init__(
        self, endpoint: Endpoint, version: int, connection: Connection, timeout_s: float
    ) -> None:
        self._base = f"http://{endpoint.address}"
        self._version, self._timeout_s = version, timeout_s
        self._connect_ms = round(connection.connect_timeout_s * 1000)
        self._loop = gevent.get_hub().loop
        self._watchers: dict[int, Any] = {}  # by file descriptor
        self._timer: Any = None
        self._idle: list[Any] = []
        self._under_way: set[Any] = set()
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _MOST_CONNECTIONS)

    def call(
        self, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float | None
    ) -> _Heard:
        """Send a POST, or a GET without a body, and let other greenlets run until it is answered.

        Raises:
            Fault: there was no whole answer.
        """
        one = self._idle.pop() if self._idle else self._new()
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        lines: list[bytes] = []
        pieces: list[bytes] = []
        one.setopt(pycurl.URL, self._base + path)
        one.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        one.setopt(pycurl.TIMEOUT_MS, max(1, round(limit_s * 1000)))
        one.setopt(pycurl.HEADERFUNCTION, lines.append)
        one.setopt(pycurl.WRITEFUNCTION, pieces.append)
        if body is None:
            one.setopt(pycurl.HTTPGET, 1)
        else:
            one.setopt(pycurl.POST, 1)
            one.setopt(pycurl.POSTFIELDS, body)
        one.waiter = Waiter()
        self._multi.add_handle(one)
        self._under_way.add(one)
        try:
            problem = one.waiter.get()
        finally:  # also when the greenlet is killed
            self._end(one)
        status = one.getinfo(pycurl.RESPONSE_CODE)
        self._idle.append(one)
        if problem is not None:
            code, words = problem
            raise Fault(_KINDS.get(code, Kind.RESET), words)
        return _Heard(status, _headers(lines), b"".join(pieces))

    def close(self) -> None:
        """End everything; calls under way fail."""
        for one in list(self._under_way):
            self._end(one)
            self._loop.run_callback(one.waiter.switch, (_CLOSED, "the client was closed"))
        self._set_timer(-1)
        for one in self._idle:
            one.close()
        self._idle.clear()
        self._multi.close()
        for fd in list(self._watchers):
            self._stop_watching(fd)

    def _end(self, one: Any) -> None:
        if one in self._under_way:
            self._under_way.remove(one)
            self._multi.remove_handle(one)

    def _new(self) -> Any:
        one = pycurl.Curl()
        one.setopt(pycurl.HTTP_VERSION, self._version)
        one.setopt(pycurl.CONNECTTIMEOUT_MS, self._connect_ms)
        one.setopt(pycurl.PIPEWAIT, 1)  # for a connection that can take several calls
        one.setopt(pycurl.NOSIGNAL, 1)
        one.setopt(pycurl.PROXY, "")
        return one

    def _watch(self, what: int, fd: int, multi: Any, given: Any) -> int:
        """What libcurl calls: from now on it waits for this on that socket."""
        self._stop_watching(fd)
        if what in _EVENTS:
            watcher = self._watchers[fd] = self._loop.io(fd, _EVENTS[what])
            watcher.start(self._ready, fd, pass_events=True)
        return 0

    def _stop_watching(self, fd: int) -> None:
        if (watcher := self._watchers.pop(fd, None)) is not None:
            watcher.stop()
            watcher.close()

    def _set_timer(self, wait_ms: int) -> int:
        """What libcurl calls: it wants to be called after that time; below 0 not at all."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        if wait_ms >= 0:
            self._timer = self._loop.timer(wait_ms / 1000)
            self._timer.start(self._go_on, pycurl.SOCKET_TIMEOUT, 0)
        return 0

    def _ready(self, events: int, fd: int) -> None:
        reads = pycurl.CSELECT_IN if events & _READ else 0
        writes = pycurl.CSELECT_OUT if events & _WRITE else 0
        self._go_on(fd, reads | writes)

    def _go_on(self, fd: int, events: int) -> None:
        """Let libcurl work; wake the greenlets whose calls are done. Runs in gevent's hub."""
        self._multi.socket_action(fd, events)
        waiting = 1
        while waiting:
            waiting, done, failed = self._multi.info_read()
            for one in done:
                one.waiter.switch(None)
            for one, *problem in failed:
                one.waiter.switch(problem)


def _headers(lines: Iterable[bytes]) -> dict[str, str]:
    """Return headers and trailers of the last answer: one with status 100 may come before it."""
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):
            found.clear()
        elif b":" in line:
            name, _, value = line.decode("latin-1").partition(":")
            found[name.strip().lower()] = value.strip()
    return found
