"""One line per request, with the caller's request id and trace, in Triton's own log."""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

_PLAIN = re.compile(r"[\w.:/-]+")


def context(request: Any) -> dict[str, str]:
    """Return what ties a log line to its caller: request id, and W3C traceparent where traced."""
    found = {"request_id": request.request_id()}
    trace = request.trace()
    carried = trace.get_context() if trace is not None else None
    if carried:
        found["traceparent"] = str(_traceparent(carried))
    return found


def _traceparent(carried: str) -> str:
    """Triton gives the propagation headers as JSON, or the bare value."""
    try:
        headers = json.loads(carried)
    except ValueError:
        return carried
    return str(headers.get("traceparent", carried)) if isinstance(headers, dict) else carried


def answered(model: str, request: Any) -> None:
    """Log an answered request, where the server runs with `--log-verbose 1`."""
    if _is_verbose():
        pb_utils.Logger.log_verbose(_line(model, request, "answered"))


@functools.cache
def _is_verbose() -> bool:
    """Tell how the server, this process's parent, was started.

    It drops verbose lines by itself, but each is a message to it that waits for an answer.
    """
    try:
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()  # words end with NUL
    except OSError:  # hidden from us: a log line is not worth a request
        return False
    return re.search(rb"--log-verbose[=\0](?!0|false)", command, re.IGNORECASE) is not None


def rejected(model: str, request: Any, reason: str, message: str) -> None:
    """Log a request whose input was wrong: the caller's fault, so not an error of ours."""
    pb_utils.Logger.log_info(_line(model, request, "rejected", reason=reason, message=message))


def cancelled(model: str, request: Any) -> None:
    """Log that the caller went away, and the work was stopped."""
    pb_utils.Logger.log_info(_line(model, request, "cancelled"))


def failed(model: str, request: Any, error: BaseException) -> None:
    """Log a fault of ours."""
    pb_utils.Logger.log_error(_line(model, request, "failed", message=repr(error)))


def _line(model: str, request: Any, event: str, **more: str) -> str:
    """Return one line of `key=value`; what a caller sends is quoted where it could mislead."""
    fields = {"event": event, "model": model} | context(request) | more
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
