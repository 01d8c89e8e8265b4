"""What both clients are made from: the same settings, the same session."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emoserve_client._connect import Network
from emoserve_client._pool import Ejection
from emoserve_client._retry import Breaker, Retry
from emoserve_client._session import Session, Settings, TokenProvider
from emoserve_client._tls import Tls
from emoserve_client._transport import Connection, Connector
from emoserve_client.errors import InputError
from emoserve_client.observability import default_hooks

if TYPE_CHECKING:
    from emoserve_client._hooks import Hook

_DEFAULT = Settings()


class BaseClient(ABC):
    """Settings and session of a client."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        timeout_s: float | None = _DEFAULT.timeout_s,
        video_timeout_s: float | None = _DEFAULT.video_timeout_s,
        attempt_timeout_s: float | None = None,
        connect_timeout_s: float = _DEFAULT.connection.connect_timeout_s,
        retry: Retry = _DEFAULT.retry,
        hedge_after_s: float | None = None,
        breaker: Breaker | None = None,
        ejection: Ejection = _DEFAULT.ejection,
        lookup_s: float = _DEFAULT.lookup_s,
        tls: Tls | None = None,
        auth: str | TokenProvider | None = None,
        headers: Mapping[str, str] | None = None,
        restricted: Mapping[str, str] | None = None,
        channels: int = 1,
        keepalive_s: float | None = None,
        shared_memory: bool = False,
        hooks: Sequence[Hook] | None = None,
        connector: Connector | None = None,
    ) -> None:
        """Connects when the first call is made.

        Args:
            url: `grpc://`, `grpcs://`, `http://` or `https://`; several with commas or in a list;
                `grpc+dns://name` for every address that the name has. Default: the environment
                variable EMOSERVE_URL, else `grpc://127.0.0.1:8001`.
            timeout_s: for a whole call with all its attempts; also told to the server.
            video_timeout_s: the same for a clip.
            attempt_timeout_s: for a single attempt: a stalled server is left for another.
            connect_timeout_s: for a server that does not answer at all.
            retry: how often and how soon to send again when no answer came.
            hedge_after_s: after this time the call is sent to a second server too; the first
                answer counts, and the other send is cancelled (without asyncio it runs out). Off
                by default.
            breaker: after some calls without an answer, fail at once for a while. Off by default.
            ejection: when a server that does not answer is left out.
            lookup_s: how often the name of `grpc+dns://` is looked up again; a server that does
                not answer has it looked up at once.
            tls: certificates for `grpcs://` and `https://`.
            auth: a token, or a function (with the asynchronous client also a coroutine function)
                that gives one; asked before each attempt. Without a space it is a Bearer token.
            headers: sent with every request.
            restricted: keys for Triton's restricted APIs, as `{"admin-key": "value"}`.
            channels: gRPC connections to each server.
            keepalive_s: ping this often while a gRPC call runs; the server must allow it.
            shared_memory: large inputs go through shared memory where the server allows it.
            hooks: told of every call and attempt; see `emoserve_client.observability`. Default:
                OpenTelemetry spans, where opentelemetry-api is installed.
            connector: makes the transports; `emoserve_client.testing` has one without a server.

        Raises:
            InputError: an address or a setting is not understood.
        """
        if channels < 1:
            raise InputError(f"channels must be 1 or more, not {channels}", reason="bad_option")
        connection = Connection(tls or Tls(), connect_timeout_s, channels, keepalive_s)
        settings = Settings(
            timeout_s=timeout_s,
            video_timeout_s=video_timeout_s,
            attempt_timeout_s=attempt_timeout_s,
            retry=retry,
            hedge_after_s=hedge_after_s,
            breaker=breaker,
            ejection=ejection,
            lookup_s=lookup_s,
            connection=connection,
            auth=auth,
            headers=dict(headers or {}),
            restricted=dict(restricted or {}),
            shared_memory=shared_memory,
            hooks=default_hooks() if hooks is None else tuple(hooks),
        )
        self._session = Session(url, settings)
        self._start(connector or Network(connection))

    @abstractmethod
    def _start(self, connector: Connector) -> None:
        """Make the driver that runs flows: in this thread, or in an event loop."""

    @property
    def url(self) -> str:
        """The address or addresses, with commas."""
        return self._session.url

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The servers known now."""
        return tuple(str(one) for one in self._session.pool.endpoints)

    def _timeout(self, given: float | None) -> float | None:
        return self._session.settings.timeout_s if given is None else given

    def _video_timeout(self, given: float | None) -> float | None:
        return self._session.settings.video_timeout_s if given is None else given

    def __repr__(self) -> str:
        # Nothing else: settings hold secrets.
        return f"{type(self).__name__}({self.url!r})"

    def __getstate__(self) -> Any:
        raise TypeError(f"{type(self).__name__} holds connections; make one in each process")
