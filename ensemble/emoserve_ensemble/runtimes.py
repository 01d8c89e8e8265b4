"""What runs a network in this process: ONNX Runtime, or OpenVINO where its folder says so.

A version's folder may hold `runtime.json`: the export writes it where `--tune` found OpenVINO
faster inside the accuracy budget (docs/decisions.md 15). The graph beside it is plain ONNX, so
Triton's own `onnxruntime` backend, which does not read the file, serves the same folder; and where
OpenVINO is not installed, ONNX Runtime takes its place here.
"""

import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from emoserve_ensemble.arrays import Tensor

FILE: Final = "runtime.json"
GRAPH: Final = "model.onnx"
NAMES: Final = ("onnxruntime", "openvino")
PRECISIONS: Final = ("fp32", "bf16")


@dataclass(frozen=True)
class Runtime:
    """What runs a network, and how it computes.

    Attributes:
        precision: of OpenVINO; bf16 where the processor has it (AVX512_BF16, AMX), else fp32.
        group: OpenVINO's matrix products in INT8, weights by column and activations by groups of
            so many values of a row; 0 for none.
        kept: nodes that stay in `precision` all the same.
        multiple: the second axis of each input is filled up with zeros to a multiple of this, for
            networks that a mask tells what counts: each new shape costs OpenVINO time.
        single: items are run one after the other, for networks whose inputs have a fixed shape but
            for the batch: so no call is of a new shape.
        unpadded: the graph computes nothing for what a mask hides (docs/decisions.md 25).
    """

    name: str = "onnxruntime"
    precision: str = "fp32"
    group: int = 0
    kept: tuple[str, ...] = ()
    multiple: int = 1
    single: bool = False
    unpadded: bool = False

    def __post_init__(self) -> None:
        if self.name not in NAMES or self.precision not in PRECISIONS:
            raise ValueError(
                f"runtime {self.name!r} in {self.precision!r}: known are {', '.join(NAMES)} and "
                f"{', '.join(PRECISIONS)}"
            )

    @property
    def exact(self) -> bool:
        """Tell whether it computes as Triton's `onnxruntime` backend does, for golden answers."""
        return self.name == "onnxruntime"

    def to_json(self) -> bytes:
        """Return the content of `runtime.json`."""
        return json.dumps(asdict(self), indent=1).encode()


def read_runtime(folder: Path) -> Runtime:
    """Return what a version's folder asks for: ONNX Runtime where it says nothing.

    Raises:
        ValueError, TypeError: `runtime.json` says what is not known.
    """
    file = folder / FILE
    if not file.is_file():
        return Runtime()
    given = json.loads(file.read_text(encoding="utf-8"))
    return Runtime(**given | {"kept": tuple(given.get("kept", ()))})


class Session(Protocol):
    """A network that is loaded."""

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs by name; the first axis of each input is the batch."""
        ...


@functools.cache
def _share_memory() -> None:
    """Let all networks of this process, which run one after the other, use the same memory.

    Each with its own keeps 40 MB more in a process of `face`.
    """
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"initial_chunk_size_bytes": 2**20}))


class OnnxRuntime:
    """A network in ONNX Runtime on the CPU. Its threads never spin: an idle step costs nothing."""

    def __init__(self, graph: Path | bytes, threads: int) -> None:
        import onnxruntime as ort  # 16 MB, not for steps that have no network in their process

        _share_memory()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        source = graph if isinstance(graph, bytes) else str(graph)
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs: list[Any] = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, outputs, strict=True))


def open_network(folder: Path, threads: int = 1) -> Session:
    """Return the network of a version's folder, in the runtime that the folder names."""
    return open_graph(folder / GRAPH, read_runtime(folder), threads)


def open_graph(graph: Path | bytes, runtime: Runtime, threads: int = 1) -> Session:
    """Return the session of an ONNX graph with `threads` threads of its own."""
    if runtime.name == "openvino":
        try:
            from emoserve_ensemble.openvino_session import OpenVino
        except ImportError:
            logging.getLogger(__name__).warning(
                "OpenVINO is not installed: ONNX Runtime runs what was tuned for it, more slowly "
                "(pip install 'emoserve[openvino]')"
            )
        else:
            return OpenVino(graph, runtime, threads)
    return OnnxRuntime(graph, threads)
