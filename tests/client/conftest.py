"""One suite, several ways: a real Triton with small models, reached by gRPC and HTTP, in threads
and in asyncio, and the fake."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
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
def triton() -> Iterator[EmbeddedTriton]:
    """The session's server: `echo`, `faulty` and `ticker`."""
    with EmbeddedTriton(
        REPOSITORY,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        extra_args=["--disable-auto-complete-config"],
    ) as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that starts one more server for one test."""
    with ExitStack() as running:

        def start(*extra_args: str, **options: Any) -> EmbeddedTriton:
            ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "exit_timeout_s": 5.0}
            arguments = ["--disable-auto-complete-config", *extra_args]
            server = EmbeddedTriton(REPOSITORY, extra_args=arguments, **{**ports, **options})
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
def client(way: str, protocol: str, triton: EmbeddedTriton, open_client: Callable[..., Any]) -> Any:
    """A client of the session's server that sends every call once: four of them in turn."""
    return open_client(way, url_of(triton, protocol), retry=NO_RETRY)
