"""Starting, asking and ending what is compared, each in processes of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import grpc

from emoserve_peers import environments, processes
from emoserve_peers.errors import ServerFailedError
from emoserve_peers.messages import PROTOCOLS, Message
from emoserve_peers.payloads import Workload
from emoserve_peers.systems import EMBEDDED, SERVERS, TUNED, Server
from emoserve_server import EmbeddedTriton

START_S = 90.0  # how long a server may take until its first answer
_CALL_S = 60.0
_END_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes:
        root: process id of its first process.
        http, grpc: addresses, `http://127.0.0.1:8000`.
        log: what it writes.
    """

    root: int
    http: str
    grpc: str
    log: Path

    def address(self, message: Message) -> str:
        return self.grpc if message.grpc else self.http

    def ask(self, protocol: str, workload: Workload, body: bytes) -> bytes:
        """Return the answer's JSON to one request."""
        way = PROTOCOLS[protocol]
        message = way.write(workload.pipeline, body)
        return way.read(call(self.address(message), message))


def environment(
    server: Server, pipeline: str, repository: Path, words: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that a peer's process starts with; `words` fill in its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # as emoserve's own server
        "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
        "BENCH_PIPELINE": pipeline,
        "BENCH_REPOSITORY": str(repository),
        "BENCH_NETWORKS": server.networks,
        **{name: value.format_map(words) for name, value in server.variables.items()},
    }


@contextlib.contextmanager
def peer(
    name: str, server: Server, pipeline: str, repository: Path, logs: Path
) -> Iterator[Running]:
    """Give a peer's server, started but perhaps not ready; all its processes end with the block."""
    ports = _free_ports(3)
    words = {
        "python": str(environments.python_of(server.environment)),
        "port": str(ports[0]),
        "grpc_port": str(ports[1]),
        "spare_port": str(ports[2]),
    }
    path = logs / f"{name}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [word.format_map(words) for word in server.command],
            cwd=environments.ROOT,
            env=environment(server, pipeline, repository, words),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        http, rpc = (f"http://127.0.0.1:{port}" for port in ports[:2])
        yield Running(process.pid, http, rpc, path)
    finally:
        _end(process)


@contextlib.contextmanager
def emoserve(pipeline: str, repository: Path, log: Path) -> Iterator[Running]:
    """Give the embedded Triton that serves one pipeline as it comes."""
    with EmbeddedTriton(
        repository,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        models=[pipeline],
        log_file=log,
        exit_timeout_s=_END_S,
    ) as triton:
        assert triton.pid is not None
        supervisor = processes.parent(triton.pid)
        yield Running(supervisor, triton.http_url, triton.grpc_url.replace("grpc", "http", 1), log)


def started(
    name: str, pipeline: str, repository: Path, logs: Path, tuned: Path | None = None
) -> contextlib.AbstractContextManager[Running]:
    """Give a server by its name, started but perhaps not ready; it ends with the block.

    Args:
        tuned: the repository of `TUNED`.
    """
    if name == EMBEDDED:
        return emoserve(pipeline, repository, logs / f"{name}.log")
    if name == TUNED and tuned is not None:
        return emoserve(pipeline, tuned, logs / f"{name}.log")
    return peer(name, SERVERS[name], pipeline, repository, logs)


def call(address: str, message: Message) -> bytes:
    """Return the response to one request.

    Raises:
        OSError, HTTPException, grpc.RpcError: there is none, or it is an error.
    """
    if not message.grpc:
        request = urllib.request.Request(
            address + message.path, message.body, dict(message.headers), method="POST"
        )
        with urllib.request.urlopen(request, timeout=_CALL_S) as response:
            return bytes(response.read())
    with grpc.insecure_channel(address.partition("//")[2]) as channel:
        # The message comes framed for HTTP/2 and is wanted so; grpcio frames by itself.
        answer = channel.unary_unary(message.path)(message.body[5:], timeout=_CALL_S)
        return bytes(5) + bytes(answer)


def first_answer(running: Running, protocol: str, workload: Workload) -> None:
    """Return once the server answers.

    Raises:
        ServerFailedError: it ended, or does not answer in time.
    """
    until = time.monotonic() + START_S
    while True:
        try:
            running.ask(protocol, workload, workload.bodies[0])
            return
        except (OSError, HTTPException, grpc.RpcError) as error:
            ended = not processes.alive(running.root)
            if ended or time.monotonic() > until:
                what = "ended" if ended else f"did not answer within {START_S:g} s ({error})"
                raise ServerFailedError(f"the server {what}; its log: {running.log}") from error
            time.sleep(_POLL_S)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


@contextlib.contextmanager
def ended(roots: Sequence[int]) -> Iterator[None]:
    """Tell servers to stop, all at once, and see to it that after the block none of theirs runs."""
    families = [pid for root in roots for pid in processes.family(root)]
    processes.send(roots, signal.SIGTERM)
    try:
        yield
    finally:
        # Some have lost their parent, so that nobody else finds them.
        processes.send(families, signal.SIGKILL)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server and whatever it started."""
    pids = processes.family(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    processes.send(pids, signal.SIGKILL)
    process.wait()
