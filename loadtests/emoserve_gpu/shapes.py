"""What a new batch size costs a network in ONNX Runtime, by itself and by Triton's stand-in.

Batches of one size after another, then batches of 1 to 16 items in turn. On CUDA the first is what
benchmarks show, the second what callers do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from emoserve_export.configs.generate import batch_sizes
from emoserve_export.declaration import Network
from emoserve_gpu.serving import CUDA
from emoserve_gpu.works import NETWORKS, network_inputs
from emoserve_server.onnxruntime_backend.batch_sizes import FixedBatch, SessionPerBatchSize

MOST_IN_TURN = 16
_ROUNDS = 3
_SEARCHES = ("EXHAUSTIVE", "HEURISTIC")


@dataclass(frozen=True)
class ShapeCost:
    """One network, one way to run it; numpy in, numpy out.

    Attributes:
        way: cuDNN's search for a convolution's plan and what holds the plans, or "CPU".
        same_ms: median time of a batch of 16 items after batches of 16 items.
        changing_ms: median time of a batch whose size differs from the one before.
        slowest_ms: the longest of those.
    """

    network: str
    way: str
    same_ms: float
    changing_ms: float
    slowest_ms: float


def costs(names: Sequence[str], repository: Path, *, cuda: bool) -> Iterator[ShapeCost]:
    """Yield what each network of an exported repository takes, one way after the other."""
    for name in names or NETWORKS:
        network = NETWORKS[name]
        for way, run in _ways(network, repository / name / "1" / "model.onnx", cuda=cuda):
            yield _cost(network, way, run)


def _ways(network: Network, path: Path, *, cuda: bool) -> Iterator[tuple[str, Callable[..., Any]]]:
    if not cuda:
        yield "CPU", _session(path, ["CPUExecutionProvider"]).run
        return
    for search in _SEARCHES:
        options = {"cudnn_conv_algo_search": search}
        yield f"{search.lower()}, one session", _session(path, [(CUDA, options)]).run
    if network.one_shape:
        sizes = batch_sizes(network.serving.max_batch_size)
        each = {size: _session(path, [(CUDA, options)]) for size in sizes}
        yield f"sessions for {', '.join(map(str, sizes))}", SessionPerBatchSize(each).run
        graph = [(CUDA, options | {"enable_cuda_graph": "1"})]
        graphs = {size: FixedBatch(_session(path, graph), size, ("cuda", 0)) for size in sizes}
        yield "CUDA graphs of these", SessionPerBatchSize(graphs).run


def _session(path: Path, providers: Sequence[Any]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=providers)


def _cost(network: Network, way: str, run: Callable[..., Any]) -> ShapeCost:
    inputs = network_inputs(network)

    def timed_ms(items: int) -> float:
        feeds = {name: array[:items] for name, array in inputs.items()}
        began_s = time.perf_counter()
        run(None, feeds)
        return (time.perf_counter() - began_s) * 1000

    changing = [timed_ms(items) for _ in range(_ROUNDS) for items in range(1, MOST_IN_TURN + 1)]
    same = [timed_ms(MOST_IN_TURN) for _ in range(len(changing))]
    return ShapeCost(
        network.name,
        way,
        same_ms=float(np.median(same)),
        changing_ms=float(np.median(changing[MOST_IN_TURN:])),  # each size was seen before
        slowest_ms=max(changing[MOST_IN_TURN:]),
    )


def save(found: Sequence[ShapeCost], path: Path) -> None:
    """Write all as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
