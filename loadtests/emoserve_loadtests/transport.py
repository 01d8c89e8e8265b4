"""HTTP for many greenlets in one process: our client's calls, carried by geventhttpclient.

A call through httpcore costs a process of Locust's 0.6 ms, through geventhttpclient, which Locust
itself is made with, 0.17 (docs/benchmarks.md). Where generator and server share a machine, that is
the server's. gRPC has one library, which gevent slows down; TLS and streams stay with the client's.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from emoserve_client._connect import Network
from emoserve_client._endpoint import Endpoint
from emoserve_client._faults import http_fault
from emoserve_client._message import Fault, Kind, Message, Raw
from emoserve_client._transport import Connection, Transport
from emoserve_client._transport_http import HttpTransport

_MOST_CONNECTIONS = 10_000  # an open loop has as many calls under way as the server leaves waiting
_READ_BYTES = 2**16


class GeventNetwork(Network):
    """Connects as the client does, but for plain HTTP.

    Args:
        timeout_s: for a server that is silent in the middle of a call.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        super().__init__(connection)
        self._timeout_s = timeout_s

    def connect(self, endpoint: Endpoint) -> Transport:
        if endpoint.scheme != "http":
            return super().connect(endpoint)
        return GeventHttp(endpoint, self._connection, self._timeout_s)


class GeventHttp(HttpTransport):
    """HTTP to one server for the greenlets of one thread."""

    def __init__(self, endpoint: Endpoint, connection: Connection, timeout_s: float) -> None:
        super().__init__(endpoint, connection)
        self._client = HTTPClient(
            endpoint.host,
            endpoint.port,
            block_size=_READ_BYTES,
            connection_timeout=connection.connect_timeout_s,
            network_timeout=timeout_s,
            concurrency=_MOST_CONNECTIONS,
        )

    def unary(
        self, message: Message[Any], *, timeout_s: float | None, headers: Mapping[str, str]
    ) -> Raw:
        sent = {**message.headers, **headers}
        try:
            response = self._client.request(
                message.method, message.path, b"".join(message.parts), sent
            )
            body = bytes(response.read())
        except (ConnectionRefusedError, socket.gaierror) as err:
            raise Fault(Kind.UNREACHABLE, str(err)) from err
        except TimeoutError as err:
            raise Fault(Kind.TIMEOUT, "no answer in time") from err
        except (OSError, HTTPParseError) as err:
            raise Fault(Kind.RESET, str(err) or type(err).__name__) from err
        found = {name.lower(): str(value) for name, value in response.items()}
        if response.status_code >= 300:
            raise http_fault(response.status_code, found, body)
        return Raw(body, found)

    def close(self) -> None:
        self._client.close()
        super().close()
