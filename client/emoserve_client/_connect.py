"""The transport for each scheme. Imported when the first one is needed, so that a client of one
protocol does not load the other's library."""

from __future__ import annotations

from emoserve_client._endpoint import Endpoint
from emoserve_client._transport import AsyncTransport, Connection, Transport


class Network:
    """Connects to real servers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connect(self, endpoint: Endpoint) -> Transport:
        if endpoint.scheme.startswith("grpc"):
            from emoserve_client._transport_grpc import GrpcTransport

            return GrpcTransport(endpoint, self._connection)
        from emoserve_client._transport_http import HttpTransport

        return HttpTransport(endpoint, self._connection)

    def connect_async(self, endpoint: Endpoint) -> AsyncTransport:
        if endpoint.scheme.startswith("grpc"):
            from emoserve_client._transport_grpc import AsyncGrpcTransport

            return AsyncGrpcTransport(endpoint, self._connection)
        from emoserve_client._transport_http import AsyncHttpTransport

        return AsyncHttpTransport(endpoint, self._connection)
