"""The V2 protocol as protobuf, with the message classes that tritonclient carries.

The stubs' own service class is not used: calls are made by path, so that request bytes are made
once and sent as they are, and so that grpcio may be older than the stubs ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Proto
from tritonclient.grpc import service_pb2 as pb

from emoserve_client._faults import text_fault
from emoserve_client._message import Buffer, Fault, Kind, Message, Raw
from emoserve_client._metadata import (
    DURATIONS,
    Duration,
    ModelInfo,
    ModelState,
    ModelStatistics,
    ServerInfo,
    TensorSpec,
)
from emoserve_client._request import Parameter, Region, Reply, Request, Tensor
from emoserve_client._tensors import decode

T = TypeVar("T")
SERVICE = "/inference.GRPCInferenceService/"
_RAW_INPUT_CONTENTS = b"\x3a"  # field 7, length-delimited


class GrpcWire:
    """Makes gRPC messages."""

    binary_streams = True

    def infer(self, request: Request) -> Message[Reply]:
        return Message("unary", SERVICE + "ModelInfer", (_infer_bytes(request),), _reply)

    def stream(self, request: Request) -> Message[Reply | None]:
        parts = (_infer_bytes(request),)
        path = SERVICE + "ModelStreamInfer"
        # Not with the header `triton_grpc_error: true`, which would give a failed stream a status:
        # Triton 2.51 then crashes (signal 11) within a few failed streams. Its text must do.
        return Message("stream", path, parts, _stream_reply)

    def ready(self, model: str = "", version: str = "") -> Message[bool]:
        if model:
            asked = pb.ModelReadyRequest(name=model, version=version)
            return _unary("ModelReady", asked, pb.ModelReadyResponse, lambda got: bool(got.ready))
        asked = pb.ServerReadyRequest()
        return _unary("ServerReady", asked, pb.ServerReadyResponse, lambda got: bool(got.ready))

    def server(self) -> Message[ServerInfo]:
        return _unary(
            "ServerMetadata",
            pb.ServerMetadataRequest(),
            pb.ServerMetadataResponse,
            lambda got: ServerInfo(got.name, got.version, tuple(got.extensions)),
        )

    def model(self, name: str, version: str = "") -> Message[ModelInfo]:
        asked = pb.ModelMetadataRequest(name=name, version=version)
        return _unary("ModelMetadata", asked, pb.ModelMetadataResponse, _model_info)

    def index(self) -> Message[tuple[ModelState, ...]]:
        return _unary(
            "RepositoryIndex",
            pb.RepositoryIndexRequest(),
            pb.RepositoryIndexResponse,
            lambda got: tuple(
                ModelState(one.name, one.version, one.state, one.reason) for one in got.models
            ),
        )

    def statistics(
        self, model: str = "", version: str = ""
    ) -> Message[tuple[ModelStatistics, ...]]:
        asked = pb.ModelStatisticsRequest(name=model, version=version)
        return _unary("ModelStatistics", asked, pb.ModelStatisticsResponse, _statistics)

    def load(self, model: str) -> Message[None]:
        asked = pb.RepositoryModelLoadRequest(model_name=model)
        return _unary("RepositoryModelLoad", asked, pb.RepositoryModelLoadResponse, _nothing)

    def unload(self, model: str) -> Message[None]:
        asked = pb.RepositoryModelUnloadRequest(model_name=model)
        return _unary("RepositoryModelUnload", asked, pb.RepositoryModelUnloadResponse, _nothing)

    def register_memory(self, name: str, key: str, size_bytes: int) -> Message[None]:
        asked = pb.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=size_bytes)
        answer = pb.SystemSharedMemoryRegisterResponse
        return _unary("SystemSharedMemoryRegister", asked, answer, _nothing)

    def unregister_memory(self, name: str) -> Message[None]:
        asked = pb.SystemSharedMemoryUnregisterRequest(name=name)
        answer = pb.SystemSharedMemoryUnregisterResponse
        return _unary("SystemSharedMemoryUnregister", asked, answer, _nothing)


def _unary(name: str, asked: Proto, answer: type[Any], read: Callable[[Any], T]) -> Message[T]:
    def decode_answer(raw: Raw) -> T:
        return read(_parsed(answer, raw))

    return Message("unary", SERVICE + name, (asked.SerializeToString(),), decode_answer)


def _parsed(answer: type[Any], raw: Raw) -> Any:
    try:
        return answer.FromString(raw.body)
    except DecodeError as err:
        raise Fault(Kind.GARBLED, f"{len(raw.body)} bytes are no {answer.__name__}") from err


def _nothing(_: Any) -> None:
    return None


def _infer_bytes(request: Request) -> bytes:
    """The whole request as protobuf, with each tensor's bytes copied exactly once.

    A message may be cut between fields: everything but the tensors is serialised by protobuf, the
    tensors follow as further `raw_input_contents` fields.
    """
    parts: list[Buffer] = [_infer_header(request).SerializeToString()]
    for tensor in request.inputs:
        if not isinstance(tensor.content, Region):
            parts += (_RAW_INPUT_CONTENTS, _varint(tensor.size_bytes), *tensor.content)
    return b"".join(parts)


def _infer_header(request: Request) -> Any:
    header = pb.ModelInferRequest(
        model_name=request.model,
        model_version=request.version,
        id=request.id,
        inputs=[_input(tensor) for tensor in request.inputs],
        outputs=[
            pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in request.outputs
        ],
    )
    for name, value in request.parameters.items():
        _set(header.parameters[name], value)
    if request.timeout_us:
        header.parameters["timeout"].int64_param = request.timeout_us
    return header


def _input(tensor: Tensor) -> Any:
    made = pb.ModelInferRequest.InferInputTensor(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )
    if isinstance(tensor.content, Region):
        made.parameters["shared_memory_region"].string_param = tensor.content.name
        made.parameters["shared_memory_byte_size"].int64_param = tensor.content.size_bytes
        if tensor.content.offset:
            made.parameters["shared_memory_offset"].int64_param = tensor.content.offset
    return made


def _set(parameter: Any, value: Parameter) -> None:
    # bool before int: True is an int as well.
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def _varint(number: int) -> bytes:
    """Protobuf's variable-length integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _reply(raw: Raw) -> Reply:
    return _reply_of(_parsed(pb.ModelInferResponse, raw))


def _reply_of(answer: Any) -> Reply:
    if len(answer.outputs) != len(answer.raw_output_contents):
        raise Fault(Kind.GARBLED, "the answer's tensors came without raw contents")
    outputs = {
        one.name: decode(content, one.datatype, one.shape)
        for one, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    return Reply(
        answer.model_name,
        answer.model_version,
        outputs,
        answer.id,
        _parameters(answer.parameters),
    )


def _parameters(given: Any) -> Mapping[str, Parameter]:
    found = {}
    for name, parameter in given.items():
        if which := parameter.WhichOneof("parameter_choice"):
            found[name] = getattr(parameter, which)
    return found


def _stream_reply(raw: Raw) -> Reply | None:
    answer = _parsed(pb.ModelStreamInferResponse, raw)
    if answer.error_message:
        raise text_fault(answer.error_message)
    reply = _reply_of(answer.infer_response)
    return reply if reply.outputs else None


def _model_info(got: Any) -> ModelInfo:
    inputs, outputs = (
        tuple(TensorSpec(one.name, one.datatype, tuple(one.shape)) for one in side)
        for side in (got.inputs, got.outputs)
    )
    return ModelInfo(got.name, tuple(got.versions), got.platform, inputs, outputs)


def _statistics(got: Any) -> tuple[ModelStatistics, ...]:
    return tuple(
        ModelStatistics(
            one.name,
            one.version,
            one.inference_count,
            one.execution_count,
            {
                name: Duration(
                    getattr(one.inference_stats, name).count, getattr(one.inference_stats, name).ns
                )
                for name in DURATIONS
            },
        )
        for one in got.model_stats
    )
