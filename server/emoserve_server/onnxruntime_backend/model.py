"""A stand-in for Triton's native `onnxruntime` backend, for the wheel that comes without it.

Triton loads this file for every model whose config says `backend: "onnxruntime"`. The same config
and the same `model.onnx` run on the native backend of NVIDIA's container. Understood are
`default_model_filename`, `optimization.graph.level`, `instance_group.kind`, and the parameters
`intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`,
`enable_mem_pattern` and every `session.*` key, and the `gpu_execution_accelerator` named "cuda"
(https://github.com/triton-inference-server/onnxruntime_backend#model-config-options).

Where it differs on purpose: one intra-op thread by default instead of one per core, threads that
wait do not spin, and on CUDA the parameter `cuda_batch_sizes`, which the native backend does not
know, gives each of these batch sizes a session of its own, which CUDA replays as one graph
(batch_sizes.py).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from batch_sizes import (  # type: ignore[import-not-found]  # lies beside it
    FixedBatch,
    SessionPerBatchSize,
)

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


Arrays = dict[str, Any]  # tensor name -> numpy array


class _Member(NamedTuple):
    """One request of a batch: its place in the call, its inputs, the outputs it asks for."""

    position: int
    feeds: Arrays
    wanted: Sequence[str]


class TritonPythonModel:
    """One instance of one network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network of `args`. Raises TritonModelException when it cannot be."""
        config = json.loads(args["model_config"])
        self._name = args["model_name"]
        self._batched = config.get("max_batch_size", 0) > 0
        self._session = _load(args, config)
        _warn_of_cpu(args, self._session)
        self._shapes = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        self._served = [output["name"] for output in config["output"]]
        _check_names(config, self._session)

    def is_ready(self) -> bool:
        """Return whether the network is loaded; newer servers ask before they report ready."""
        return self._session is not None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response per request; a request that fails does not touch the others."""
        responses: list[Any] = [None] * len(requests)
        groups: dict[Hashable, list[_Member]] = defaultdict(list)
        for position, request in enumerate(requests):
            try:
                feeds = _read(request)
                self._check_shapes(feeds)
            except ValueError as error:
                responses[position] = _refusal(error)
                continue
            # Only requests of one shape can be stacked; without a batch axis none can.
            key = _signature(feeds) if self._batched else position
            groups[key].append(_Member(position, feeds, request.requested_output_names()))
        for members in groups.values():
            self._answer(members, responses)
        return responses

    def _answer(self, members: list[_Member], responses: list[Any]) -> None:
        """Run members of one shape together and put their responses in place."""
        try:
            for member, tensors in zip(members, self._run(members), strict=True):
                responses[member.position] = pb_utils.InferenceResponse(tensors)
        except Exception as error:  # noqa: BLE001  the boundary to Triton: ORT has 12 of them
            if len(members) == 1:
                responses[members[0].position] = _refusal(error)
                return
            for member in members:  # find the one whose values the network cannot take
                self._answer([member], responses)

    def _run(self, members: list[_Member]) -> list[list[Any]]:
        """Return the output tensors of each member."""
        wanted = [name for name in self._served if any(name in each.wanted for each in members)]
        feeds = _stack([member.feeds for member in members])  # [sum of batches, ...]
        outputs = dict(zip(wanted, self._session.run(wanted, feeds), strict=True))
        if len(members) == 1:
            return [_tensors(outputs, members[0].wanted)]
        sizes = [len(next(iter(member.feeds.values()))) for member in members]
        ends = np.cumsum(sizes).tolist()
        return [
            _tensors(
                {name: array[end - size : end] for name, array in outputs.items()}, each.wanted
            )
            for each, size, end in zip(members, sizes, ends, strict=True)
        ]

    def _check_shapes(self, feeds: Arrays) -> None:
        """Raise ValueError that names what came and what the network accepts."""
        for name, array in feeds.items():
            expected = self._shapes[name]
            pairs = zip(expected, array.shape, strict=False)
            wrong = any(isinstance(want, int) and want != got for want, got in pairs)
            if wrong or len(expected) != array.ndim:
                raise ValueError(
                    f"{self._name}: input '{name}' has shape {list(array.shape)}, "
                    f"accepted is {[axis if isinstance(axis, int) else -1 for axis in expected]}"
                )

    def finalize(self) -> None:
        """Give the network's memory back."""
        self._session = None


def _load(args: dict[str, str], config: dict[str, Any]) -> Any:
    """Return the network's session, or what runs one for each batch size in its place."""

    def make_session(**cuda_options: str) -> Any:
        return ort.InferenceSession(
            str(_model_path(args, config)),
            sess_options=session_options(config),
            providers=_providers(args, config, **cuda_options),
        )

    given, providers = _parameters(config).get("cuda_batch_sizes"), _providers(args, config)
    if not given or providers == [_CPU]:
        return make_session()
    smallest, *larger = sizes = [int(size) for size in given.split(",")]
    device = "cuda", int(args["model_instance_device_id"])
    try:
        graphs = {
            size: FixedBatch(make_session(enable_cuda_graph="1"), size, device) for size in sizes
        }
        return SessionPerBatchSize(graphs)
    except Exception as error:  # noqa: BLE001  what cannot be captured: ORT has 12 of them
        pb_utils.Logger.log_warn(f"{args['model_name']}: no CUDA graphs, so slower: {error}")
    session = make_session()
    if session.get_providers()[0] != _CUDA:
        return session
    return SessionPerBatchSize({smallest: session, **{size: make_session() for size in larger}})


def _parameters(config: dict[str, Any]) -> dict[str, str]:
    return {key: value["string_value"] for key, value in config.get("parameters", {}).items()}


def session_options(config: dict[str, Any]) -> Any:
    """Return ONNX Runtime's options for a model config (a dict, as Triton hands it over)."""
    given = _parameters(config)
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(given.get("intra_op_thread_count") or 1)
    options.inter_op_num_threads = int(given.get("inter_op_thread_count") or 1)
    if given.get("execution_mode") == "1":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    if "enable_mem_arena" in given:
        options.enable_cpu_mem_arena = _truth(given["enable_mem_arena"])
    if "enable_mem_pattern" in given:
        options.enable_mem_pattern = _truth(given["enable_mem_pattern"])
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level in _LEVELS:
        options.graph_optimization_level = _LEVELS[level]
    # A thread that spins for work costs a core while nobody calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in given.items():
        if key.startswith("session."):
            options.add_session_config_entry(key, value)
    return options


def _truth(text: str) -> bool:
    return text.strip().lower() in ("1", "true")


def _model_path(args: dict[str, str], config: dict[str, Any]) -> Path:
    version = Path(args["model_repository"]) / args["model_version"]
    path = version / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise pb_utils.TritonModelException(f"unable to find '{path}'")
    return path


def _providers(args: dict[str, str], config: dict[str, Any], **cuda_options: str) -> list[Any]:
    on_gpu = args["model_instance_kind"] == "GPU"
    if on_gpu and _CUDA in ort.get_available_providers():
        if hasattr(ort, "preload_dlls"):  # since 1.21: finds CUDA's libraries among the packages
            ort.preload_dlls()
        device = {"device_id": args["model_instance_device_id"]}
        return [(_CUDA, device | _cuda_options(config) | cuda_options), _CPU]
    return [_CPU]


def _cuda_options(config: dict[str, Any]) -> dict[str, str]:
    """Return what the config's `gpu_execution_accelerator` named "cuda" asks for."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    asked: dict[str, str] = {}
    for accelerator in accelerators.get("gpu_execution_accelerator", []):
        if accelerator["name"] == "cuda":
            asked |= accelerator.get("parameters", {})
    return asked


def _warn_of_cpu(args: dict[str, str], session: Any) -> None:
    """Say so where a GPU was asked for: ONNX Runtime falls back to the CPU without an error."""
    if args["model_instance_kind"] == "GPU" and session.get_providers()[0] != _CUDA:
        pb_utils.Logger.log_warn(
            f"{args['model_name']} runs on the CPU: this ONNX Runtime has no working CUDA "
            "(onnxruntime-gpu and CUDA's libraries bring it)"
        )


def _check_names(config: dict[str, Any], session: Any) -> None:
    """Raise TritonModelException where the config names a tensor the network does not have."""
    for kind, nodes in (("input", session.get_inputs()), ("output", session.get_outputs())):
        has = [node.name for node in nodes]
        for tensor in config[kind]:
            if tensor["name"] not in has:
                raise pb_utils.TritonModelException(
                    f"config.pbtxt names {kind} '{tensor['name']}', the network has {has}"
                )


def _read(request: Any) -> Arrays:
    """Return the request's arrays by input name, without a copy but for strings."""
    feeds: Arrays = {}
    for tensor in request.inputs():
        array = tensor.as_numpy()
        if array.dtype == np.object_:
            array = np.array([text.decode() for text in array.flat], object).reshape(array.shape)
        feeds[tensor.name()] = array
    return feeds


def _signature(feeds: Arrays) -> Hashable:
    return tuple((name, feeds[name].shape[1:], feeds[name].dtype.str) for name in sorted(feeds))


def _stack(feeds: list[Arrays]) -> Arrays:
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([member[name] for member in feeds]) for name in feeds[0]}


def _tensors(outputs: Arrays, names: Sequence[str]) -> list[Any]:
    return [
        pb_utils.Tensor(name, np.ascontiguousarray(array))
        for name, array in outputs.items()
        if name in names
    ]


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
    )
