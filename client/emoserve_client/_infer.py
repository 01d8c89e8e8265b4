"""Calls to any model with plain tensors, as flows; checked against the model's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emoserve_client import _shared
from emoserve_client._call import call, stream
from emoserve_client._flow import Flow
from emoserve_client._hooks import Call
from emoserve_client._metadata import ModelInfo, TensorSpec
from emoserve_client._request import Parameter, Reply, Request, Tensor
from emoserve_client._session import Session
from emoserve_client._tensors import DTYPES, Array, to_bf16
from emoserve_client.errors import InputError

Inputs = Mapping[str, Any]


class Described:
    """A model by name, with its metadata once they are known."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version
        self.info: ModelInfo | None = None


def info(session: Session, model: Described, timeout_s: float | None) -> Flow[ModelInfo]:
    """The model's metadata, asked for once."""
    if model.info is None:
        facts = Call("metadata", model.name, session.new_id(), 0)
        message = session.wire.model(model.name, model.version)
        model.info = yield from call(session, message, facts, timeout_s)
    return model.info


def infer(
    session: Session,
    model: Described,
    inputs: Inputs,
    outputs: Sequence[str],
    parameters: Mapping[str, Parameter],
    timeout_s: float | None,
) -> Flow[Reply]:
    """The flow of `Model.infer`."""
    known = yield from info(session, model, timeout_s)
    request = _request(session, model, known, inputs, outputs, parameters, timeout_s)
    facts = Call("infer", model.name, request.id, sum(one.size_bytes for one in request.inputs))
    return (yield from _shared.infer(session, request, lambda reply: reply, facts, timeout_s))


def infer_stream(
    session: Session,
    model: Described,
    inputs: Inputs,
    outputs: Sequence[str],
    parameters: Mapping[str, Parameter],
    timeout_s: float | None,
) -> Flow[None]:
    """The flow of `Model.stream`."""
    known = yield from info(session, model, timeout_s)
    request = _request(session, model, known, inputs, outputs, parameters, timeout_s)
    facts = Call("stream", model.name, request.id, sum(one.size_bytes for one in request.inputs))
    message = session.wire.stream(request).then(lambda reply: _typed(reply, known))
    yield from stream(session, message, facts, timeout_s)


def _request(
    session: Session,
    model: Described,
    known: ModelInfo,
    inputs: Inputs,
    outputs: Sequence[str],
    parameters: Mapping[str, Parameter],
    timeout_s: float | None,
) -> Request:
    specs = {one.name: one for one in known.inputs}
    _check_names(f"{model.name} has no input", inputs, specs.values())
    _check_names(f"{model.name} has no output", outputs, known.outputs)
    return Request(
        model.name,
        tuple(_tensor(specs[name], value) for name, value in inputs.items()),
        tuple(outputs),
        version=model.version,
        id=session.new_id(),
        parameters=parameters,
        timeout_us=0 if timeout_s is None else int(timeout_s * 1e6),
    )


def _check_names(problem: str, names: Any, specs: Any) -> None:
    specs = list(specs)
    for name in names:
        if all(one.name != name for one in specs):
            there = "; ".join(map(str, specs)) or "none"
            raise InputError(f"{problem} {name!r}; there are: {there}", reason="bad_option")


def _tensor(spec: TensorSpec, value: Any) -> Tensor:
    """`value` in the type that the model declares, where that loses no more than precision."""
    array = _array(spec, value)
    fits = len(spec.shape) == array.ndim and all(
        want in (-1, size) for want, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{spec} was expected, not the shape {list(array.shape)}", reason="bad_shape"
        )
    made = Tensor.of(spec.name, array)
    return Tensor(made.name, spec.datatype, made.shape, made.content)


def _array(spec: TensorSpec, value: Any) -> Array:
    if spec.datatype == "BYTES":
        return _byte_array(value)
    given = np.asarray(value)
    want = np.dtype(np.float32) if spec.datatype == "BF16" else DTYPES[spec.datatype]
    # A list has no type of its own: 1 in it may become 1.0; an array's type is meant.
    casting = "same_kind" if isinstance(value, np.ndarray) else "unsafe"
    if given.dtype.kind in "OSU" or not np.can_cast(given.dtype, want, casting):  # type: ignore[arg-type]
        raise InputError(f"{spec} was expected, not {given.dtype}", reason="bad_type")
    array = given.astype(want, copy=False)
    return to_bf16(array) if spec.datatype == "BF16" else array


def _byte_array(value: Any) -> Array:
    """An object array of str and bytes; numpy's own string types would cut trailing zeros."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str | bytes | bytearray | memoryview):
        value = [value]
    array = np.empty(np.shape(np.array(value, dtype=object)), dtype=object)
    array[...] = value
    return array


def _typed(reply: Reply | None, known: ModelInfo) -> Reply | None:
    """A reply of a stream over HTTP, whose JSON numbers have no type, in the declared types."""
    if reply is None:
        return None
    types = {one.name: DTYPES.get(one.datatype) for one in known.outputs}
    outputs = {
        name: array if (want := types.get(name)) is None else array.astype(want, copy=False)
        for name, array in reply.outputs.items()
    }
    return Reply(reply.model, reply.version, outputs, reply.id, reply.parameters)
