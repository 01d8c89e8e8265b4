"""What all calls of one client share: settings, servers, retries, secrets, those who watch."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from emoserve_client._endpoint import Endpoint, targets
from emoserve_client._flow import Flow, ask, work
from emoserve_client._hooks import Hook
from emoserve_client._memory import Memory
from emoserve_client._pool import Ejection, Pool
from emoserve_client._retry import Breaker, Budget, Circuit, Retry
from emoserve_client._transport import Connection
from emoserve_client._wire import Wire
from emoserve_client.errors import InputError, UnreachableError

TokenProvider = Callable[[], "str | Awaitable[str]"]
START_HINT = "start one with: emoserve serve"


@dataclass(frozen=True)
class Settings:
    """All that a client can be told; `EmotionClient` describes each."""

    timeout_s: float | None = 60.0
    video_timeout_s: float | None = 900.0
    attempt_timeout_s: float | None = None
    retry: Retry = field(default_factory=Retry)
    hedge_after_s: float | None = None
    breaker: Breaker | None = None
    ejection: Ejection = field(default_factory=Ejection)
    lookup_s: float = 30.0
    connection: Connection = field(default_factory=Connection)
    auth: str | TokenProvider | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    restricted: Mapping[str, str] = field(default_factory=dict, repr=False)
    shared_memory: bool = False
    hooks: tuple[Hook, ...] = ()


class Session:
    """The shared state of one client. Does no I/O; flows do, through their driver."""

    def __init__(
        self,
        url: str | Sequence[str] | None,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.settings, self.clock, self.uniform = settings, clock, uniform
        found = targets(url)
        self.scheme = found[0].endpoint.scheme
        self.wire = _wire(self.scheme)
        self.url = ",".join(str(one.endpoint) for one in found)
        self.pool = Pool(found, clock, settings.ejection, settings.lookup_s)
        self.budget = Budget(settings.retry, clock)
        self.memory = Memory()
        self.circuit = Circuit(settings.breaker, clock) if settings.breaker else None

    def changed(self, settings: Settings) -> Session:
        """A session with other settings and the same servers, budget and breaker."""
        other = object.__new__(Session)
        other.__dict__ = self.__dict__ | {"settings": settings}
        return other

    def new_id(self) -> str:
        """A request id: goes to the server, into logs, spans and errors."""
        return uuid.uuid4().hex

    def headers(self) -> Flow[dict[str, str]]:
        """The headers of one send, its token asked for anew."""
        made = {**self.settings.headers, **self._restricted()}
        auth = self.settings.auth
        if callable(auth):
            auth = yield from ask(auth)
        if auth is not None:
            made["authorization"] = auth if " " in auth else f"Bearer {auth}"
        return made

    def refresh(self) -> Flow[None]:
        """Looks names up when that is due.

        Raises:
            UnreachableError: no name leads anywhere.
        """
        if not self.pool.stale:
            return
        try:
            found: Sequence[Endpoint] = yield from work(self.pool.look_up)
        except OSError as err:
            if not self.pool.endpoints:
                raise UnreachableError(f"cannot look up {self.url}: {err}") from err
            return
        self.pool.update(found)

    def _restricted(self) -> dict[str, str]:
        """Triton's restricted APIs: over gRPC their header has a prefix."""
        prefix = "triton-grpc-protocol-" if self.scheme.startswith("grpc") else ""
        return {prefix + key: value for key, value in self.settings.restricted.items()}


def _wire(scheme: str) -> Wire:
    """Imported here: neither protocol's library is loaded for the sake of the other."""
    if scheme.startswith("grpc"):
        from emoserve_client._wire_grpc import GrpcWire

        return GrpcWire()
    from emoserve_client._wire_http import HttpWire

    return HttpWire()


def changed_settings(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """`settings` with `changes`.

    Raises:
        InputError: there is no such setting.
    """
    if "connection" in changes:
        raise InputError("a connection cannot be changed; make a new client", reason="bad_option")
    try:
        return replace(settings, **changes)  # type: ignore[arg-type]
    except TypeError as err:
        raise InputError(f"no such setting: {', '.join(changes)}", reason="bad_option") from err
