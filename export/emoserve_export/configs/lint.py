"""`emoserve export --check`: every config against its graph and the contract, without a server."""

from collections.abc import Iterable
from pathlib import Path

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export.configs.contract import Promise, Promised, read_contract
from emoserve_export.configs.generate import TRITON_TYPES
from emoserve_export.configs.reading import read_config
from emoserve_export.errors import RepositoryError
from emoserve_export.graph import ONNX_TYPES

_FROM_ONNX = {int(ONNX_TYPES[name]): TRITON_TYPES[name] for name in ONNX_TYPES}


def check_repository(repository: Path, contract: Path | None) -> tuple[list[str], int]:
    """Return what is wrong, one sentence each, and the number of models that were checked.

    Raises:
        RepositoryError: there is no model in the repository.
    """
    folders = sorted(path.parent for path in repository.glob("*/config.pbtxt"))
    if not folders:
        raise RepositoryError(f"{repository} holds no model")
    promises = read_contract(contract) if contract else {}
    problems: list[str] = []
    for folder in folders:
        problems += [f"{folder.name}: {text}" for text in model_problems(folder, promises)]
    names = {folder.name for folder in folders}
    problems += [f"{name}: promised by the contract, not there" for name in promises.keys() - names]
    return problems, len(folders)


def model_problems(folder: Path, promises: dict[str, Promise]) -> list[str]:
    """Return what is wrong with one model's folder."""
    try:
        config = read_config(folder / "config.pbtxt")
    except text_format.ParseError as err:
        return [f"config.pbtxt is not a Triton config: {err}"]
    problems = _folder_problems(folder, config)
    promise = promises.get(folder.name)
    if promise is not None:
        problems += _contract_problems(config, promise)
    return problems


def _folder_problems(folder: Path, config: pb.ModelConfig) -> list[str]:
    problems = []
    if config.name != folder.name:
        problems.append(f"name is {config.name!r}, the folder is {folder.name!r}")
    versions = [path for path in folder.iterdir() if path.name.isdigit()]
    for version in versions:
        if config.backend == "python" and not (version / "model.py").is_file():
            problems.append(f"version {version.name} has no model.py")
        graph = version / (config.default_model_filename or "model.onnx")
        if config.backend in ("onnxruntime", "tensorrt") and graph.is_file():
            problems += _graph_problems(config, graph)
        for capability, plan in config.cc_model_filenames.items():
            if not (version / plan).is_file():
                problems.append(f"version {version.name} has no {plan} for GPUs of {capability}")
    for output in config.output:
        problems += _label_problems(folder, output)
    return problems


def _graph_problems(config: pb.ModelConfig, path: Path) -> list[str]:
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    return [
        *_side_problems("input", config.input, inputs, config.max_batch_size > 0),
        *_side_problems("output", config.output, graph.output, config.max_batch_size > 0),
    ]


def _side_problems(
    what: str,
    configured: Iterable[pb.ModelInput | pb.ModelOutput],
    values: Iterable[onnx.ValueInfoProto],
    batched: bool,
) -> list[str]:
    tensors, found = {tensor.name: tensor for tensor in configured}, {v.name: v for v in values}
    problems = [f"{what} {name!r} is not in the graph" for name in tensors.keys() - found.keys()]
    if what == "input":
        missing = found.keys() - tensors.keys()
        problems += [f"the graph's input {name!r} is not in the config" for name in missing]
    for name in sorted(tensors.keys() & found.keys()):
        problem = _tensor_problem(tensors[name], found[name], batched)
        if problem:
            problems.append(f"{what} {name!r} {problem}")
    return problems


def _tensor_problem(
    tensor: pb.ModelInput | pb.ModelOutput, value: onnx.ValueInfoProto, batched: bool
) -> str:
    kind = value.type.tensor_type
    if _FROM_ONNX.get(kind.elem_type) != tensor.data_type:
        graph_type = onnx.TensorProto.DataType.Name(kind.elem_type)
        return f"is {pb.DataType.Name(tensor.data_type)}, the graph has {graph_type}"
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
    if batched and sizes[:1] != [-1]:
        return f"has a batch axis, the graph's first axis is {sizes[:1]}"
    own = sizes[1:] if batched else sizes
    return "" if own == list(tensor.dims) else f"has dims {list(tensor.dims)}, the graph has {own}"


def _label_problems(folder: Path, output: pb.ModelOutput) -> list[str]:
    if not output.label_filename:
        return []
    path = folder / output.label_filename
    if not path.is_file():
        return [f"{output.name}: no label file {output.label_filename}"]
    labels = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(labels) != output.dims[-1]:
        return [f"{output.name}: {len(labels)} labels for {output.dims[-1]} classes"]
    return []


def _contract_problems(config: pb.ModelConfig, promise: Promise) -> list[str]:
    problems = []
    sides = (("input", config.input, promise.inputs), ("output", config.output, promise.outputs))
    for what, tensors, promised in sides:
        by_name = {tensor.name: tensor for tensor in tensors}
        for name in promised.keys() - by_name.keys():
            problems.append(f"{what} {name!r} is promised by the contract, not in the config")
        for name, tensor in by_name.items():
            if name not in promise.mentioned:
                problems.append(f"{what} {name!r} is not in the contract")
            elif name in promised:
                problems += _promise_problems(f"{what} {name!r}", tensor, promised[name])
    return problems


def _promise_problems(
    what: str, tensor: pb.ModelInput | pb.ModelOutput, promised: Promised
) -> list[str]:
    found = (pb.DataType.Name(tensor.data_type), tuple(tensor.dims))
    wanted = (promised.dtype, promised.dims)
    return [] if found == wanted else [f"{what} is {found}, the contract says {wanted}"]
