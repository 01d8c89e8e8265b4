"""Asks a server on this machine whether it is ready, over plain HTTP without proxies."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelState:
    """One line of the model repository index."""

    name: str
    version: str
    state: str
    reason: str


def is_ready(host: str, port: int) -> bool:
    """Return whether `/v2/health/ready` says so within two seconds."""
    return _is_ok(host, port, "/v2/health/ready")


def has_metrics(host: str, port: int) -> bool:
    """Return whether `/metrics` answers within two seconds."""
    return _is_ok(host, port, "/metrics")


def _is_ok(host: str, port: int, path: str) -> bool:
    try:
        return _ask(host, port, "GET", path)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def index(host: str, port: int) -> tuple[ModelState, ...]:
    """Return the state of every model version. Raises OSError when nobody answers."""
    _, body = _ask(host, port, "POST", "/v2/repository/index")
    return tuple(
        ModelState(
            entry["name"],
            entry.get("version", ""),
            entry.get("state", "UNAVAILABLE"),
            entry.get("reason", ""),
        )
        for entry in json.loads(body)
    )


def _ask(host: str, port: int, method: str, path: str) -> tuple[int, bytes]:
    # An open keep-alive connection would hold Triton's exit: close it each time.
    with closing(http.client.HTTPConnection(host, port, timeout=2)) as connection:
        connection.request(method, path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
