"""An engine (Triton: a plan) from an ONNX graph, strongly typed, without TF32.

TF32 rounds what float32 products read to 10 bits; it is on by default and the usual reason why an
engine in «float32» does not answer like the network. Strongly typed means: the graph's own types
decide, nothing is lowered behind our back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoserve_export.engines.names import tensorrt
from emoserve_export.engines.profiles import Profile
from emoserve_export.errors import GraphError

WORKSPACE_BYTES = 2 << 30


@dataclass(frozen=True)
class Built:
    """An engine, and the timings that make the next build faster."""

    plan: bytes
    timings: bytes


def build_engine(
    name: str, graph: Path, profile: Profile, timings: bytes = b"", tf32: bool = False
) -> Built:
    """Return the engine of an ONNX graph for this machine's GPU.

    Args:
        graph: the ONNX file.
        timings: a timing cache of an earlier build with the same TensorRT on the same GPU.

    Raises:
        UnavailableError: TensorRT is not here.
        GraphError: TensorRT cannot read or build the graph; has its words.
    """
    trt = tensorrt()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # TensorRT 11 knows no other kind and keeps the flag for compatibility.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    _parse(trt, name, graph, network, logger)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(_trt_profile(builder, profile))
    config.set_timing_cache(config.create_timing_cache(timings), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise GraphError(f"{name}: TensorRT built no engine; its log above says why")
    return Built(bytes(plan), bytes(config.get_timing_cache().serialize()))


def _parse(trt: Any, name: str, graph: Path, network: Any, logger: Any) -> None:
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):  # finds the weights beside it
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise GraphError(f"{name}: TensorRT's parser: " + "; ".join(errors))


def _trt_profile(builder: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    for name, shapes in profile.inputs.items():
        made.set_shape(name, *shapes)
    return made
