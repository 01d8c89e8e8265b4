"""Requests as each server takes them, and the pipeline's answer out of each server's response."""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from emoserve_peers.work import taken_apart

INPUTS = {
    "face": ("image",),
    "speech": ("audio",),
    "text": ("text",),
    "emotion": ("images", "audio", "text"),
}
_BOUNDARY = "emoserve-benchmark"


@dataclass(frozen=True)
class Message:
    """One request.

    Attributes:
        path: of the URL.
        body: what is posted.
        headers: beside those that every HTTP client sends.
        grpc: whether it goes over HTTP/2 without TLS.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc: bool = False


@dataclass(frozen=True)
class Protocol:
    """How to write a request and read its response."""

    write: Callable[[str, bytes], Message]
    read: Callable[[bytes], bytes]


def _raw(_: str, body: bytes) -> Message:
    return Message("/analyze", body, {"content-type": "application/octet-stream"})


def _multipart(_: str, body: bytes) -> Message:
    head = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; "
        'name="request"; filename="request"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    parts = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return Message("/analyze", parts, {"content-type": kind})


def _tensors(pipeline: str, body: bytes) -> dict[str, bytes]:
    """Return each BYTES input of one value, as the V2 protocol's binary form has it."""
    names = INPUTS[pipeline]
    values = [body] if len(names) == 1 else taken_apart(body)
    return {name: _tensor(value) for name, value in zip(names, values, strict=True)}


def _tensor(value: bytes) -> bytes:
    return bytes(serialize_byte_tensor(np.array([value], object)).item())


def _triton_http(pipeline: str, body: bytes) -> Message:
    """Write the binary tensor extension of the V2 protocol."""
    tensors = _tensors(pipeline, body)
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [1, 1],
            "parameters": {"binary_data_size": len(value)},
        }
        for name, value in tensors.items()
    ]
    outputs = [{"name": "answer", "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": inputs, "outputs": outputs}, separators=(",", ":")).encode()
    return Message(
        f"/v2/models/{pipeline}/infer",
        header + b"".join(tensors.values()),
        {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(len(header)),
        },
    )


def _triton_http_answer(response: bytes) -> bytes:
    """Return the one BYTES value at the response's end."""
    _, end = json.JSONDecoder().raw_decode(response.decode("latin-1"))  # a byte is a character
    return _value(response[end:])


def _value(binary: bytes) -> bytes:
    return bytes(deserialize_bytes_tensor(binary)[0])


def _triton_grpc(pipeline: str, body: bytes) -> Message:
    return _grpc(pipeline, _tensors(pipeline, body))


def _v2_grpc(pipeline: str, body: bytes) -> Message:
    return _grpc(pipeline, {"request": _tensor(body)})


def _grpc(pipeline: str, tensors: Mapping[str, bytes]) -> Message:
    """Write the V2 protocol's ModelInfer as a gRPC message: no compression, then its length."""
    request = service_pb2.ModelInferRequest(model_name=pipeline)
    for name, value in tensors.items():
        tensor = request.inputs.add(name=name, datatype="BYTES")
        tensor.shape.extend([1, 1])
        request.raw_input_contents.append(value)
    request.outputs.add(name="answer")
    content = request.SerializeToString()
    return Message(
        "/inference.GRPCInferenceService/ModelInfer",
        struct.pack(">BI", 0, len(content)) + content,
        {"content-type": "application/grpc", "te": "trailers"},
        grpc=True,
    )


def _grpc_answer(response: bytes) -> bytes:
    reply = service_pb2.ModelInferResponse.FromString(response[5:])
    return _value(reply.raw_output_contents[0])


def _base64(pipeline: str, body: bytes) -> Message:
    """Write the V2 protocol as plain JSON, as MLServer takes binary data over REST."""
    tensor = {
        "name": "request",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(body).decode()],
    }
    content = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    return Message(f"/v2/models/{pipeline}/infer", content, {"content-type": "application/json"})


def _base64_answer(response: bytes) -> bytes:
    (value,) = json.loads(response)["outputs"][0]["data"]
    return str(value).encode()


def _same(response: bytes) -> bytes:
    return response


def _first_of_list(response: bytes) -> bytes:
    return str(json.loads(response)[0]).encode()


PROTOCOLS: Mapping[str, Protocol] = {
    "raw": Protocol(_raw, _same),
    "multipart": Protocol(_multipart, _same),
    "multipart-list": Protocol(_multipart, _first_of_list),
    "triton-http": Protocol(_triton_http, _triton_http_answer),
    "triton-grpc": Protocol(_triton_grpc, _grpc_answer),
    "v2-grpc": Protocol(_v2_grpc, _grpc_answer),
    "v2-json": Protocol(_base64, _base64_answer),
}
