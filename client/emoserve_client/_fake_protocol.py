"""The server's side of the gRPC protocol, for the fake: request bytes in, reply bytes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from emoserve_client._fake_pipelines import PIPELINES, SIGNATURES, VERSIONS
from emoserve_client._message import Fault, Kind, Message
from emoserve_client._metadata import DURATIONS
from emoserve_client._tensors import Array, datatype, decode, encode
from emoserve_client.errors import InputError, ServerError

Outputs = Mapping[str, Array]
Models = Mapping[str, Callable[[Mapping[str, Array]], Any]]


def request_of(message: Message[Any]) -> tuple[str, str, Mapping[str, Array]]:
    """The operation, the model and the inputs that a message speaks of."""
    operation = message.path.rsplit("/", 1)[-1]
    asked = _asked(message, operation)
    model = getattr(asked, "model_name", "") or getattr(asked, "name", "")
    return operation, model, _inputs(asked) if operation in _INFER else {}


def answer_messages(message: Message[Any], models: Models) -> Iterator[bytes]:
    """The bytes of each reply.

    Raises:
        Fault: the server refuses.
    """
    operation = message.path.rsplit("/", 1)[-1]
    asked = _asked(message, operation)
    if operation in _INFER:
        yield from _infer(asked, models, streaming=operation == "ModelStreamInfer")
    else:
        yield _ANSWERS[operation](asked, models).SerializeToString()


_INFER = {"ModelInfer", "ModelStreamInfer"}


def _asked(message: Message[Any], operation: str) -> Any:
    name = "ModelInferRequest" if operation in _INFER else f"{operation}Request"
    return getattr(pb, name).FromString(b"".join(message.parts))


def _inputs(asked: Any) -> Mapping[str, Array]:
    pairs = zip(asked.inputs, asked.raw_input_contents, strict=True)
    return {one.name: decode(raw, one.datatype, tuple(one.shape)) for one, raw in pairs}


def _infer(asked: Any, models: Models, *, streaming: bool) -> Iterator[bytes]:
    function = _function(asked.model_name, models)
    try:
        answers = function(_inputs(asked))
        for outputs in answers if inspect.isgenerator(answers) else [answers]:
            reply = _reply(asked, outputs)
            if streaming:
                reply = pb.ModelStreamInferResponse(infer_response=reply)
            yield reply.SerializeToString()
    except InputError as err:
        raise Fault(Kind.INVALID, f"[{err.reason}] {err.message}") from err
    except ServerError as err:
        raise Fault(Kind.FAILED, err.message) from err


def _function(name: str, models: Models) -> Callable[[Mapping[str, Array]], Any]:
    function = models.get(name) or PIPELINES.get(name)
    if function is None:
        raise Fault(Kind.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
    return function


def _reply(asked: Any, outputs: Outputs) -> Any:
    wanted = {one.name for one in asked.outputs} or set(outputs)
    reply = pb.ModelInferResponse(model_name=asked.model_name, model_version="1", id=asked.id)
    for name, array in outputs.items():
        if name in wanted:
            reply.outputs.add(name=name, datatype=datatype(array), shape=array.shape)
            reply.raw_output_contents.append(b"".join(encode(array)))
    return reply


def _metadata(asked: Any, models: Models) -> Any:
    _function(asked.name, models)
    answer = pb.ModelMetadataResponse(name=asked.name, versions=["1"], platform="fake")
    inputs, outputs = SIGNATURES.get(asked.name, ((), ()))
    for name, kind, shape in inputs:
        answer.inputs.add(name=name, datatype=kind, shape=shape)
    for name, kind, shape in outputs:
        answer.outputs.add(name=name, datatype=kind, shape=shape)
    return answer


def _index(_: Any, models: Models) -> Any:
    answer = pb.RepositoryIndexResponse()
    for name in sorted({*PIPELINES, *VERSIONS, *models}):
        answer.models.add(name=name, version="1", state="READY")
    return answer


def _statistics(asked: Any, models: Models) -> Any:
    answer = pb.ModelStatisticsResponse()
    for name in [asked.name] if asked.name else sorted({*PIPELINES, *models}):
        _function(name, models)
        one = answer.model_stats.add(name=name, version="1")
        for duration in DURATIONS:
            getattr(one.inference_stats, duration).count = 0
    return answer


def _ready(asked: Any, models: Models) -> Any:
    return pb.ModelReadyResponse(ready=asked.name in {*PIPELINES, *VERSIONS, *models})


_ANSWERS: dict[str, Callable[[Any, Models], Any]] = {
    "ServerReady": lambda _, __: pb.ServerReadyResponse(ready=True),
    "ModelReady": _ready,
    "ServerMetadata": lambda _, __: pb.ServerMetadataResponse(
        name="fake", version="0", extensions=["statistics"]
    ),
    "ModelMetadata": _metadata,
    "RepositoryIndex": _index,
    "ModelStatistics": _statistics,
    "RepositoryModelLoad": lambda _, __: pb.RepositoryModelLoadResponse(),
    "RepositoryModelUnload": lambda _, __: pb.RepositoryModelUnloadResponse(),
}
