"""What gRPC statuses, HTTP statuses and Triton's own messages mean: one table for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from emoserve_client._message import Fault, Kind

_GRPC = {
    "INVALID_ARGUMENT": Kind.INVALID,
    "OUT_OF_RANGE": Kind.INVALID,
    "FAILED_PRECONDITION": Kind.INVALID,
    "NOT_FOUND": Kind.NOT_FOUND,
    "PERMISSION_DENIED": Kind.DENIED,
    "UNAUTHENTICATED": Kind.DENIED,
    "UNIMPLEMENTED": Kind.UNSUPPORTED,
    "UNAVAILABLE": Kind.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": Kind.BUSY,
    "CANCELLED": Kind.CANCELLED,
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "ABORTED": Kind.RESET,
}
_HTTP = {
    400: Kind.INVALID,
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.NOT_FOUND,
    405: Kind.UNSUPPORTED,
    408: Kind.TIMEOUT,
    413: Kind.INVALID,
    415: Kind.INVALID,
    422: Kind.INVALID,
    429: Kind.BUSY,
    499: Kind.CANCELLED,
    501: Kind.UNSUPPORTED,
    502: Kind.UNAVAILABLE,
    503: Kind.UNAVAILABLE,
    504: Kind.UNAVAILABLE,
}
# What the words say that the status does not. First match wins.
# Triton's: core/src/scheduler_utils.cc, src/restricted_features.h; gRPC's: seen on the wire.
_WORDS = (
    (re.compile(r"maximum queue size|Request timeout expired"), Kind.BUSY),
    (re.compile(r"(protocol|API) is restricted"), Kind.DENIED),
    # Not every «larger than max»: a fouled wire gives frames of any size.
    (re.compile(r"message larger than max"), Kind.INVALID),
    (
        re.compile(r"CERTIFICATE_VERIFY|handshake failed|TLSV1|SSLV3|certificate", re.IGNORECASE),
        Kind.UNTRUSTED,
    ),
    # Before «failed to connect»: somebody was there and hung up.
    (
        re.compile(r"RST_STREAM|GOAWAY|[Ss]tream removed|Socket closed|recvmsg|parsing HTTP/2"),
        Kind.RESET,
    ),
    (
        re.compile(r"failed to connect|Connection refused|DNS resolution|Name resolution|No route"),
        Kind.UNREACHABLE,
    ),
    # A server that is going away unloads its models first: another one has them.
    (re.compile(r"has no available versions|is not at ready state"), Kind.UNAVAILABLE),
)
# Only these are open to what the words say: an INVALID message may quote anything.
_VAGUE = {Kind.UNAVAILABLE, Kind.BUSY, Kind.FAILED, Kind.CANCELLED, Kind.NOT_FOUND}
# Triton's own complaints about a request: core/src/infer_request.cc.
_BAD_INPUT = re.compile(
    r"^(unexpected (shape|datatype|inference input)|expected number of inputs"
    r"|(inference )?input .* (byte size|data type)|.*missing required input)"
)
_REQUEST_ID = re.compile(r"^\[request id: [^\]]*\] ")


def grpc_fault(code: str, details: str, trailing: Mapping[str, str]) -> Fault:
    """The fault for a gRPC status; `trailing` may hold the server's pushback."""
    kind = _by_words(_GRPC.get(code, Kind.FAILED), details)
    if details.startswith("Channel closed"):  # by ourselves: whoever did it wants no more of it
        return Fault(Kind.CANCELLED, "the client was closed", pushback_s=-1.0)
    pushback = trailing.get("grpc-retry-pushback-ms")
    seconds = _number(pushback, 1000) if pushback is not None else None
    if seconds is None:
        seconds = _number(trailing.get("retry-after"), 1)
    return Fault(kind, _message(details) or code, pushback_s=seconds)


def http_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The fault for an HTTP status of 300 and above; Triton says why as `{"error": ...}`."""
    text = _error_text(body)
    kind = _by_words(_HTTP.get(status, Kind.FAILED), text)
    if kind is Kind.INVALID and "cancelled" in text.lower():
        kind = Kind.CANCELLED  # Triton answers 400 for a cancelled request
    seconds = _number(headers.get("retry-after-ms"), 1000)
    if seconds is None:
        seconds = _number(headers.get("retry-after"), 1)
    return Fault(kind, _message(text) or f"HTTP status {status}", pushback_s=seconds)


def text_fault(message: str) -> Fault:
    """The fault for an error that came without a status, in the middle of a stream."""
    text = _message(message)
    if reason_of(text)[0] or _BAD_INPUT.search(text):
        return Fault(Kind.INVALID, text)
    unknown = text.startswith("Request for unknown model")
    return Fault(_by_words(Kind.NOT_FOUND if unknown else Kind.FAILED, text), text)


def reason_of(message: str) -> tuple[str, str]:
    """The reason in brackets that a pipeline's message starts with, and the rest."""
    found = re.match(r"\[([a-z0-9_]+)\] (.*)", message, re.DOTALL)
    return (found[1], found[2]) if found else ("", message)


def _by_words(kind: Kind, message: str) -> Kind:
    if kind not in _VAGUE:
        return kind
    return next((meant for words, meant in _WORDS if words.search(message)), kind)


def _message(text: str) -> str:
    return _REQUEST_ID.sub("", text).strip()


def _error_text(body: bytes) -> str:
    # A stream that fails before its first answer has an error status and an event for a body.
    try:
        answer = json.loads(body.strip().removeprefix(b"data: "))
    except ValueError:
        return body[:200].decode(errors="replace")
    found = answer.get("error") if isinstance(answer, dict) else None
    return str(found) if found is not None else body[:200].decode(errors="replace")


def _number(text: str | None, parts: int) -> float | None:
    """Seconds from a header that counts in 1/`parts` seconds; a date is not understood."""
    try:
        return None if text is None else float(text) / parts
    except ValueError:
        return None
