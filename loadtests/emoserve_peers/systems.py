"""What is compared: each server, how it is set up, and where its documentation says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CORES = 2
LIMIT = "limit"  # what all ratios are taken to


@dataclass(frozen=True)
class Server:
    """One server under test, started by a command.

    Attributes:
        environment: the folder of `loadtests/peers` whose requirements its Python has.
        command: `{python}`, `{port}` and `{grpc_port}` are filled in.
        variables: of its environment, beside those that all have.
        networks: `onnx` or `torch`.
    """

    environment: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    networks: str = "onnx"


@dataclass(frozen=True)
class System:
    """One row of the comparison: a server, called over one protocol.

    Attributes:
        title: as the tables show it.
        server: a name of `SERVERS`, or `EMBEDDED`.
        protocol: a name of `messages.PROTOCOLS`.
        setup: how it is set up, for the notes.
        source: where that is recommended.
    """

    title: str
    server: str
    protocol: str
    setup: str
    source: str = ""


@dataclass(frozen=True)
class NoServer:
    """One row without a server: the same work in bare processes, one item per call.

    Attributes:
        title: as the tables show it.
        pipeline: a name of `work.ANALYZE` where it is another than the workload's.
    """

    title: str
    processes: int = 1
    threads: int = CORES  # of each process
    pipeline: str = ""


_UVICORN = (
    "{python}", "-m", "uvicorn", "emoserve_peers.apps.fastapi_app:app", "--port={port}",
    f"--workers={CORES}", "--loop=uvloop", "--http=httptools", "--no-access-log",
    "--log-level=warning",
)  # fmt: skip

SERVERS: Mapping[str, Server] = {
    "fastapi": Server("fastapi", _UVICORN),
    "fastapi-usual": Server("fastapi", _UVICORN, {"BENCH_FORM": "usual"}),
    "fastapi-torch": Server("torch", _UVICORN, networks="torch"),
}

EMBEDDED = "emoserve"
LIMITS: Mapping[str, NoServer] = {
    LIMIT: NoServer("no server, a thread per core"),
    "limit-processes": NoServer("no server, a process per core", CORES, 1),
    "parts": NoServer("no server, the three parts one by one, not fused", pipeline="parts"),
}
_WORKERS = "https://fastapi.tiangolo.com/deployment/server-workers/"
SYSTEMS: Mapping[str, System] = {
    "emoserve": System(
        "emoserve, HTTP", EMBEDDED, "triton-http", "embedded Triton 2.51, generated configs"
    ),
    "emoserve-grpc": System("emoserve, gRPC", EMBEDDED, "triton-grpc", "the same server"),
    "fastapi": System(
        "FastAPI + ONNX Runtime",
        "fastapi",
        "raw",
        "uvicorn with uvloop and httptools, 2 workers; raw body, answered in the event loop",
        _WORKERS,
    ),
    "fastapi-usual": System(
        "FastAPI + ONNX Runtime, usual form",
        "fastapi-usual",
        "multipart",
        "the same, but UploadFile and a plain `def` in the thread pool",
        "https://fastapi.tiangolo.com/tutorial/request-files/",
    ),
    "fastapi-torch": System(
        "FastAPI + PyTorch",
        "fastapi-torch",
        "raw",
        "as FastAPI + ONNX Runtime; eager modules, inference mode, one thread per worker",
        _WORKERS,
    ),
}
