"""Server-sent events, read strictly.

Source: WHATWG HTML, «Server-sent events», 9.2.5 and 9.2.6; Triton sends `data: {...}` and a blank
line per answer, and an error as `data: {"error": "..."}` under status 200.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from emoserve_client._faults import text_fault
from emoserve_client._message import Fault, Kind

MAX_EVENT_BYTES = 64 << 20


class Events:
    """Turns pieces of a body into the data of its events."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that `piece` completes.

        Raises:
            Fault: an event is an error, is too large, or is no event at all.
        """
        self._rest += piece
        if len(self._rest) > MAX_EVENT_BYTES:
            raise Fault(Kind.GARBLED, f"the stream sent over {MAX_EVENT_BYTES} bytes in a line")
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                yield _checked(event)

    def end(self) -> None:
        """To be called when the body is over.

        Raises:
            Fault: it was over in the middle of an event.
        """
        if self._rest or self._data:
            raise Fault(Kind.RESET, "the stream ended in the middle of an event")

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event, self._data = b"\n".join(self._data), []
            return event or None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name not in (b"", b"event", b"id", b"retry"):
            raise Fault(Kind.GARBLED, f"the stream sent {line[:80]!r}, which is no event")
        return None


def _checked(event: bytes) -> bytes:
    """The event, unless it is an error."""
    if event.startswith(b'{"error"'):
        try:
            message = json.loads(event)["error"]
        except ValueError as err:
            raise Fault(Kind.GARBLED, f"the stream sent {event[:80]!r}") from err
        raise text_fault(str(message))
    return event
