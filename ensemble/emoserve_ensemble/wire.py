"""Messages over a socket between a child and its parent: a JSON header, then raw bytes."""

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")  # of the header, of the payload


def send(to: socket.socket, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Send one message; blocks while the other side is slow."""
    encoded = json.dumps(header).encode()
    to.sendall(_LENGTHS.pack(len(encoded), len(payload)) + encoded)
    if payload:
        to.sendall(payload)


def receive(from_: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """Return the next message.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: nothing came for the socket's timeout.
    """
    header_length, payload_length = _LENGTHS.unpack(_exactly(from_, _LENGTHS.size))
    header = json.loads(_exactly(from_, header_length))
    return header, _exactly(from_, payload_length)


def _exactly(from_: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = from_.recv_into(view)
        if not count:
            raise EOFError("the other side closed the connection")
        view = view[count:]
    return data
