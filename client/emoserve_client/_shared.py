"""Large inputs through system shared memory: for a server on the same machine that allows it.

A stretch of memory is made and registered once, then used again by later calls. Whenever anything
about it fails - another machine, a server that has it switched off (the default since Triton
26.05), no /dev/shm - the call goes the usual way and the client does not try again.

Source: Triton `docs/protocol/extension_shared_memory.md`; a key is a name for shm_open(3).
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from emoserve_client._call import call
from emoserve_client._flow import Flow
from emoserve_client._hooks import Call
from emoserve_client._memory import SHM, Stretch
from emoserve_client._request import Reply, Request, Tensor
from emoserve_client._session import Session
from emoserve_client.errors import EmoserveError

T = TypeVar("T")
# Below this, what a call through shared memory saves is less than what it costs.
MIN_BYTES = 256 << 10
_TIMEOUT_S = 5.0


def infer(
    session: Session,
    request: Request,
    read: Callable[[Reply], T],
    facts: Call,
    timeout_s: float | None,
) -> Flow[T]:
    """The answer to `request`, its inputs through shared memory where that is wanted and works."""
    stretch = None
    if _worthwhile(session, request):
        stretch = yield from _registered(session, sum(one.size_bytes for one in request.inputs))
    if stretch is not None:
        placed = replace(request, inputs=_placed(request, stretch))
        try:
            message = session.wire.infer(placed).then(read)
            return (yield from call(session, message, facts, timeout_s))
        except EmoserveError as err:
            if "shared memory" not in err.message:
                raise
            session.memory.off = True  # the server has forgotten it, or never meant it
        finally:
            session.memory.give(stretch)
    return (yield from call(session, session.wire.infer(request).then(read), facts, timeout_s))


def release(session: Session) -> Flow[None]:
    """Tells the server that the stretches are no more. What it does not hear it finds out."""
    for stretch in session.memory.drain():
        message = session.wire.unregister_memory(stretch.name)
        with contextlib.suppress(EmoserveError):
            yield from call(session, message, _facts(session), _TIMEOUT_S)


def _worthwhile(session: Session, request: Request) -> bool:
    if not session.settings.shared_memory or session.memory.off:
        return False
    endpoints = session.pool.endpoints
    # A region is known to one server only.
    here = len(endpoints) == 1 and _is_loopback(endpoints[0].host) and SHM.is_dir()
    return here and sum(one.size_bytes for one in request.inputs) >= MIN_BYTES


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _registered(session: Session, size_bytes: int) -> Flow[Stretch | None]:
    """A stretch that the server knows; None when it wants none."""
    if (free := session.memory.take(size_bytes)) is not None:
        return free
    try:
        # Rounded up to a power of two, so that calls of about the same size can share it.
        stretch = Stretch(1 << (size_bytes - 1).bit_length())
        message = session.wire.register_memory(stretch.name, f"/{stretch.name}", stretch.size_bytes)
        yield from call(session, message, _facts(session), _TIMEOUT_S)
    except (OSError, EmoserveError):
        session.memory.off = True
        return None
    return stretch


def _placed(request: Request, stretch: Stretch) -> tuple[Tensor, ...]:
    placed, offset = [], 0
    for tensor in request.inputs:
        placed.append(stretch.put(tensor, offset))
        offset += tensor.size_bytes
    return tuple(placed)


def _facts(session: Session) -> Call:
    return Call("shared_memory", "", session.new_id(), 0)
