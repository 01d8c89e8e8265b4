"""The seam between the logic and a protocol's bytes: one `Wire` for gRPC and one for HTTP."""

from __future__ import annotations

from typing import Protocol

from emoserve_client._message import Message
from emoserve_client._metadata import ModelInfo, ModelState, ModelStatistics, ServerInfo
from emoserve_client._request import Reply, Request


class Wire(Protocol):
    """Makes messages of one protocol. Pure: no I/O, so sync and async clients share it."""

    # True where a stream's request can carry raw bytes; false where it is JSON.
    binary_streams: bool

    def infer(self, request: Request) -> Message[Reply]:
        """One request, one reply."""
        ...

    def stream(self, request: Request) -> Message[Reply | None]:
        """One request, several replies; None stands for a reply without content."""
        ...

    def ready(self, model: str = "", version: str = "") -> Message[bool]:
        """Whether the server, or one model, takes requests."""
        ...

    def server(self) -> Message[ServerInfo]: ...

    def model(self, name: str, version: str = "") -> Message[ModelInfo]: ...

    def index(self) -> Message[tuple[ModelState, ...]]: ...

    def statistics(
        self, model: str = "", version: str = ""
    ) -> Message[tuple[ModelStatistics, ...]]: ...

    def load(self, model: str) -> Message[None]: ...

    def unload(self, model: str) -> Message[None]: ...

    def register_memory(self, name: str, key: str, size_bytes: int) -> Message[None]:
        """Tells the server of a stretch of system shared memory."""
        ...

    def unregister_memory(self, name: str) -> Message[None]: ...
