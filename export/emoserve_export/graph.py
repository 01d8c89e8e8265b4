"""PyTorch to ONNX: one file, pinned opset, named axes, no stale shapes, checked in full.

The bytes depend on the network alone: traces of source files, which the exporter leaves in the
nodes, are taken out.
"""

import logging
import warnings
from collections.abc import Collection, Iterable, Mapping, MutableSequence

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from torch import nn

from emoserve_export import gelu
from emoserve_export.declaration import Arrays, Axis, Network, Tensor
from emoserve_export.errors import GraphError

OPSET = 18  # ONNX Runtime 1.20 and TensorRT 10 both know it in full
ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
_AS_EXPORTED = "exported."
EXAMPLE_ITEMS = 3  # not 1: torch.export would take a batch of one for a constant


def export_graph(network: Network, module: nn.Module) -> ModelProto:
    """Return the ONNX graph of a module with its weights, its tensors named as declared.

    Raises:
        GraphError: the exporter fails, or the graph's shapes are not the declared ones.
    """
    inputs = network.sample(EXAMPLE_ITEMS, seed=0)
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                module,
                tuple(torch.from_numpy(inputs[tensor.name]) for tensor in network.inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=[_AS_EXPORTED + tensor.name for tensor in network.inputs],
                output_names=[_AS_EXPORTED + tensor.name for tensor in network.outputs],
                dynamic_shapes=tuple(_dynamic(tensor) for tensor in network.inputs),
                external_data=False,
                verbose=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as err:
            raise GraphError(f"{network.name}: torch.onnx.export failed: {err}") from err
    assert program is not None
    model = program.model_proto
    _name_as_declared(network, model)
    gelu.reorder(model)
    return finished(network, model)


def _name_as_declared(network: Network, model: ModelProto) -> None:
    """Give inputs and outputs their declared names.

    The exporter names inner values after operators, so an output called `embedding` would meet an
    inner value of that name: inner ones step aside.
    """
    declared = [tensor.name for tensor in (*network.inputs, *network.outputs)]
    rename(model, {name: f"{name}.inner" for name in declared})
    rename(model, {_AS_EXPORTED + name: name for name in declared})


def _dynamic(tensor: Tensor) -> dict[int, object]:
    return {
        index: torch.export.Dim.DYNAMIC
        for index, axis in enumerate(tensor.axes)
        if axis.size is None
    }


def read_graph(network: Network, data: bytes) -> ModelProto:
    """Return an ONNX file as it is, but for tensor names, axis names and metadata.

    Raises:
        GraphError: it is not a valid graph, or not the declared one.
    """
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as err:
        raise GraphError(f"{network.name}: not an ONNX file: {err}") from err
    rename(model, network.renames)
    return finished(network, model)


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Rename tensors in place, in the inner graphs of If and Loop too."""
    _rename_graph(model.graph, names)


def _rename_graph(graph: GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename_graph(inner, names)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


def finished(network: Network, model: ModelProto) -> ModelProto:
    """Return the graph cleaned, with the declared axes, checked."""
    _drop_traces(model)
    _declare(network, network.inputs, model.graph.input, "input")
    _declare(network, network.outputs, model.graph.output, "output")
    check(network.name, model)
    return model


def _drop_traces(model: ModelProto) -> None:
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "network"
    graph = model.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.metadata_props[:]
    for function in model.functions:
        del function.value_info[:]


def _declare(
    network: Network,
    declared: tuple[Tensor, ...],
    found: MutableSequence[ValueInfoProto],
    what: str,
) -> None:
    names = {value.name: value for value in found}
    wanted = [tensor.name for tensor in declared]
    if sorted(names) != sorted(wanted):
        raise GraphError(f"{network.name}: {what}s are {list(names)}, declared are {wanted}")
    for tensor in declared:
        problem = _shape_problem(tensor, names[tensor.name])
        if problem:
            raise GraphError(f"{network.name}: {what} {tensor.name}: {problem}")
        _set_axes(tensor, names[tensor.name])
    ordered = [names[name] for name in wanted]
    copies = [ValueInfoProto.FromString(value.SerializeToString()) for value in ordered]
    del found[:]
    found.extend(copies)


def _shape_problem(tensor: Tensor, value: ValueInfoProto) -> str:
    found = value.type.tensor_type
    if found.elem_type != ONNX_TYPES[tensor.dtype]:
        return f"is {TensorProto.DataType.Name(found.elem_type)}, declared is {tensor.dtype}"
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in found.shape.dim]
    if len(sizes) != len(tensor.axes):
        return f"has {len(sizes)} axes, declared are {[axis.name for axis in tensor.axes]}"
    # 0 is how some exporters write «not known».
    for axis, size in zip(tensor.axes, sizes, strict=True):
        if size and axis.size != size:
            declared = "dynamic" if axis.size is None else str(axis.size)
            return f"axis {axis.name} is {size}, declared is {declared}"
    return ""


def _set_axes(tensor: Tensor, value: ValueInfoProto) -> None:
    shape = value.type.tensor_type.shape
    for axis, dim in zip(tensor.axes, shape.dim, strict=True):
        _set_axis(axis, dim)


def _set_axis(axis: Axis, dim: onnx.TensorShapeProto.Dimension) -> None:
    dim.Clear()
    if axis.size is None:
        dim.dim_param = axis.name
    else:
        dim.dim_value = axis.size


def sort_nodes(model: ModelProto) -> None:
    """Put the nodes in an order in which each comes after what it reads, in place."""
    graph = model.graph
    made = {output: index for index, node in enumerate(graph.node) for output in node.output}
    order: list[int] = []
    seen: set[int] = set()
    for last in range(len(graph.node)):
        waiting = [last]
        while waiting:
            index = waiting[-1]
            before = [made[name] for name in graph.node[index].input if name in made]
            missing = [other for other in before if other not in seen]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                if index not in seen:
                    seen.add(index)
                    order.append(index)
    nodes = [NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def last_before(graph: GraphProto, outputs: Iterable[str], nodes: Collection[str]) -> set[str]:
    """Return the names of those of `nodes` that are the last ones before some outputs."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting, seen, last = list(outputs), set[str](), set[str]()
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is None or maker.output[0] in seen:
            continue
        seen.add(maker.output[0])
        if maker.name in nodes:
            last.add(maker.name)
        else:
            waiting += maker.input
    return last


def without_before(graph: GraphProto, nodes: Iterable[NodeProto]) -> list[str]:
    """Return the names of the nodes that none of `nodes` comes before, themselves left out."""
    named = {node.name for node in nodes}
    after, first = set[str](), list[str]()
    for node in graph.node:  # in ONNX a node comes after what it reads
        if node.name in named or after & set(node.input):
            after.update(filter(None, node.output))
        elif node.name:
            first.append(node.name)
    return first


def check(name: str, model: ModelProto) -> None:
    """Run ONNX's checker with strict shape inference.

    Raises:
        GraphError: with the checker's words.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise GraphError(f"{name}: onnx.checker: {err}") from err


def describe(model: ModelProto, facts: Mapping[str, str]) -> None:
    """Write metadata into the graph, in place: network, version, labels, source's SHA-256, ..."""
    del model.metadata_props[:]
    for key in sorted(facts):
        model.metadata_props.add(key=key, value=facts[key])


def metadata(model: ModelProto) -> dict[str, str]:
    """Return the metadata of a graph."""
    return {item.key: item.value for item in model.metadata_props}


def run_module(network: Network, module: nn.Module, inputs: Arrays) -> Arrays:
    """Return what the PyTorch module answers, by output name."""
    with torch.inference_mode():
        answer = module(*(torch.from_numpy(inputs[tensor.name]) for tensor in network.inputs))
    values = answer if isinstance(answer, tuple | list) else (answer,)
    if len(values) != len(network.outputs):
        raise GraphError(
            f"{network.name}: forward returned {len(values)} tensors, declared are "
            f"{[tensor.name for tensor in network.outputs]}"
        )
    names = [tensor.name for tensor in network.outputs]
    return {name: np.asarray(value.numpy()) for name, value in zip(names, values, strict=True)}
