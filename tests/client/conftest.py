"""One suite, several ways: a real Triton with small models, reached by gRPC and HTTP, in threads
and in asyncio, and the fake."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from emoserve_client import AsyncEmotionClient, EmotionClient, Retry
from emoserve_server import EmbeddedTriton

REPOSITORY = Path(__file__).parent / "repository"
NO_RETRY = Retry(attempts=1)
Serve = Callable[..., EmbeddedTriton]


@pytest.fixture(scope="session")
def small() -> Iterator[EmbeddedTriton]:
    """The session's server: `echo`, `faulty` and `ticker`."""
    with EmbeddedTriton(
        REPOSITORY,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        exit_timeout_s=1.0,
        extra_args=["--disable-auto-complete-config"],
    ) as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that starts one more server for one test, with `echo` or the models named."""
    with ExitStack() as running:

        def start(
            *extra_args: str, models: Sequence[str] = ("echo",), **options: Any
        ) -> EmbeddedTriton:
            ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "exit_timeout_s": 1.0}
            repository = tmp_path / "-".join(models)
            for name in models:
                shutil.copytree(REPOSITORY / name, repository / name, dirs_exist_ok=True)
            arguments = ["--disable-auto-complete-config", *extra_args]
            server = EmbeddedTriton(repository, extra_args=arguments, **{**ports, **options})
            return running.enter_context(server)

        yield start


class Blocking:
    """An asynchronous object with a synchronous face: the same test runs on both clients."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    def __getattr__(self, name: str) -> Any:
        return self._outer(getattr(self._inner, name))

    def _outer(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            return self._outer(self._loop.run_until_complete(value))
        if callable(value):
            return lambda *args, **kwargs: self._outer(value(*args, **kwargs))
        if hasattr(value, "__anext__") or type(value).__name__.startswith("Async"):
            return Blocking(value, self._loop)
        return value

    def __iter__(self) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(self._inner)

        while True:
            try:
                yield self._loop.run_until_complete(following())
            except StopAsyncIteration:
                return

    def close(self) -> None:
        ending = getattr(self._inner, "aclose", None) or self._inner.close
        self._loop.run_until_complete(ending())

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def open_client() -> Iterator[Callable[..., Any]]:
    """A function that makes a client, `way` being `sync` or `async`; all are closed at the end."""
    loop = asyncio.new_event_loop()
    with ExitStack() as opened:

        def make(way: str, url: object = None, **options: Any) -> Any:
            options = {"timeout_s": 20.0, **options}
            if way == "sync":
                return opened.enter_context(EmotionClient(url, **options))  # type: ignore[arg-type]
            client = AsyncEmotionClient(url, **options)  # type: ignore[arg-type]
            return opened.enter_context(Blocking(client, loop))

        yield make
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def url_of(server: EmbeddedTriton, protocol: str) -> str:
    """The server's address for `grpc` or `http`."""
    return server.grpc_url if protocol == "grpc" else server.http_url


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(way: str, protocol: str, small: EmbeddedTriton, open_client: Callable[..., Any]) -> Any:
    """A client of the session's server that sends every call once: four of them in turn."""
    return open_client(way, url_of(small, protocol), retry=NO_RETRY)


class Proxy:
    """A wire to a server that can be cut, clogged or fouled.

    `mode`: `forward`; `stall` takes bytes and gives none; `reset` hangs up hard on the first bytes;
    `garble` answers nonsense; `refuse` takes no connections.
    """

    def __init__(self, port: int) -> None:
        self._to, self.mode, self.connections = port, "forward", 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self) -> None:
        """Hangs up hard on all that are connected."""
        while self._open:  # one by one: connections come in meanwhile
            one = self._open.pop()
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._accepting.join(5)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            # Else the kernel waits to fill a packet, and a call takes 40 ms more.
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(caller)
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as to:
            to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(to)
            threading.Thread(target=self._pipe, args=(to, caller), daemon=True).start()
            self._pipe(caller, to)

    def _pipe(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.mode == "reset":
                    self.cut()
                    return
                if self.mode == "garble":
                    source.sendall(b"this is no answer of a Triton\r\n\r\n")
                    return
                if self.mode == "forward":
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """A function that puts a proxy before a port."""
    made: list[Proxy] = []

    def put(port: int) -> Proxy:
        made.append(Proxy(port))
        return made[-1]

    yield put
    for one in made:
        one.close()
