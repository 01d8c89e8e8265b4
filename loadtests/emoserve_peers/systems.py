"""What is compared: each server, how it is set up, and where its documentation says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

CORES = 2
LIMIT = "limit"  # what all ratios are taken to
PROCESSES = "limit-processes"  # the same without a shared interpreter lock
PARTS = "parts"
EMBEDDED, TUNED = "emoserve", "emoserve-tuned"
OURS = (EMBEDDED, "emoserve-grpc")


@dataclass(frozen=True)
class Batch:
    """How a peer batches where its batching is tried.

    Attributes:
        items: at most so many.
        wait_s: how long the first waits for others; batches also form while workers are busy.
        latency_ms: BentoML's goal for the whole.
    """

    items: int = 32
    wait_s: float = 0.002
    latency_ms: int = 10_000


BATCH = Batch()


@dataclass(frozen=True)
class Server:
    """One server under test, started by a command.

    Attributes:
        environment: the folder of `loadtests/peers` whose requirements its Python has.
        command: `{python}`, `{port}`, `{grpc_port}` and `{spare_port}` are filled in.
        variables: of its environment, beside those that all have; filled in likewise.
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
        tolerance: how far its answers' numbers may be from the limit's.
    """

    title: str
    server: str
    protocol: str
    setup: str
    source: str = ""
    tolerance: float = 2e-3


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


def _app(name: str, *ports: str) -> tuple[str, ...]:
    return ("{python}", "-m", f"emoserve_peers.apps.{name}_app", *ports)


def _both(name: str, server: Server) -> dict[str, Server]:
    """Return a server that answers requests one by one, and the same with its batching."""
    batched = replace(server, variables={**server.variables, "BENCH_BATCH": "1"})
    return {name: server, f"{name}-batch": batched}


_BENTOML = (
    "{python}", "-m", "bentoml", "serve", "emoserve_peers.apps.bentoml_app:Service",
    "--host=127.0.0.1", "--port={port}", "--production",
)  # fmt: skip
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_STATS_PORT": "{grpc_port}",  # these two are fixed otherwise
    "RAY_SERVE_HAPROXY_METRICS_PORT": "{spare_port}",
}

SERVERS: Mapping[str, Server] = {
    "fastapi": Server("fastapi", _UVICORN),
    "fastapi-usual": Server("fastapi", _UVICORN, {"BENCH_FORM": "usual"}),
    "fastapi-torch": Server("torch", _UVICORN, networks="torch"),
    **_both("litserve", Server("litserve", _app("litserve", "{port}"))),
    **_both("bentoml", Server("bentoml", _BENTOML, {"BENTOML_DO_NOT_TRACK": "true"})),
    **_both("mlserver", Server("mlserver", _app("mlserver", "{port}", "{grpc_port}"))),
    **_both("ray", Server("ray", _app("ray", "{port}"), _RAY)),
}

LIMITS: Mapping[str, NoServer] = {
    LIMIT: NoServer("no server, a thread per core"),
    PROCESSES: NoServer("no server, a process per core", CORES, 1),
    PARTS: NoServer("no server, the three parts one by one, not fused", pipeline="parts"),
}


def _peers(
    name: str,
    title: str,
    protocol: str,
    setup: str,
    source: str,
    server: str = "",
    batch_protocol: str = "",
) -> dict[str, System]:
    """Return a peer that answers one by one, and the same with its batching."""
    server = server or name
    return {
        name: System(title, server, protocol, setup, source),
        f"{name}-batch": System(
            f"{title}, batching",
            f"{server}-batch",
            batch_protocol or protocol,
            f"{setup}; batching",
            source,
        ),
    }


_WORKERS = "https://fastapi.tiangolo.com/deployment/server-workers/"
SYSTEMS: Mapping[str, System] = {
    "emoserve": System(
        "emoserve, HTTP", EMBEDDED, "triton-http", "embedded Triton 2.51, generated configs"
    ),
    "emoserve-grpc": System("emoserve, gRPC", EMBEDDED, "triton-grpc", "the same server"),
    TUNED: System(
        "emoserve, tuned precision",
        TUNED,
        "triton-http",
        "a repository with the tuned precision (`--tuned`)",
        tolerance=0.1,
    ),
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
    **_peers(
        "litserve",
        "LitServe",
        "raw",
        "2 workers, ZeroMQ queues (fast_queue), raw body",
        "https://lightning.ai/docs/litserve/features/batching",
    ),
    **_peers(
        "bentoml",
        "BentoML",
        "raw",
        "2 workers, root input (raw body), access log off",
        "https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html",
        batch_protocol="multipart-list",
    ),
    **_peers(
        "mlserver",
        "MLServer, REST",
        "v2-json",
        "2 parallel workers, base64 in the V2 protocol's JSON",
        "https://docs.seldon.ai/mlserver/user-guide/parallel-inference",
    ),
    **_peers(
        "mlserver-grpc",
        "MLServer, gRPC",
        "v2-grpc",
        "the same server, raw bytes",
        "https://docs.seldon.ai/mlserver/user-guide/adaptive-batching",
        server="mlserver",
    ),
    **_peers(
        "ray",
        "Ray Serve",
        "raw",
        "2 replicas, its high-throughput options (HAProxy), access log off, raw body; while it "
        "runs it listens on all interfaces",
        "https://docs.ray.io/en/master/kuberay/user-guides/serve-high-throughput.html",
    ),
}
PEERS = tuple(name for name, system in SYSTEMS.items() if system.server in SERVERS)

# Measured by default: the variants that were faster in a first run (face-tiny, 8 and 32 callers;
# Ray Serve's were equal there). For another workload the other may be: measure both.
COMPARED = (
    *OURS,
    *(name for name in PEERS if name.startswith("fastapi")),
    "litserve-batch",
    "bentoml-batch",
    "mlserver-grpc-batch",
    "ray-batch",
)
