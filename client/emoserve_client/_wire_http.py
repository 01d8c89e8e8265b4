"""The V2 protocol as JSON with binary tensors, and server-sent events for streams.

Sources: Triton `docs/protocol/extension_binary_data.md`, `extension_generate.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

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
from emoserve_client._request import Region, Reply, Request, Tensor
from emoserve_client._tensors import DTYPES, Array, decode

T = TypeVar("T")
HEADER_LENGTH = "inference-header-content-length"


class HttpWire:
    """Makes HTTP messages."""

    binary_streams = False

    def infer(self, request: Request) -> Message[Reply]:
        header = _compact(_infer_header(request))
        inline = [one.content for one in request.inputs if not isinstance(one.content, Region)]
        parts: tuple[Buffer, ...] = (header, *(piece for pieces in inline for piece in pieces))
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
        return Message("POST", _model_path(request, "infer"), parts, _reply, headers)

    def stream(self, request: Request) -> Message[Reply | None]:
        body: dict[str, Any] = {one.name: _json_value(one) for one in request.inputs}
        body |= request.parameters
        if request.id:
            body["id"] = request.id
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        path = _model_path(request, "generate_stream")
        return Message("POST", path, (_compact(body),), _event, headers)

    def ready(self, model: str = "", version: str = "") -> Message[bool]:
        # Not ready comes as an error status, which the transport reports as a fault.
        path = _versioned(model, version, "ready") if model else "/v2/health/ready"
        return Message("GET", path, (), lambda _: True)

    def server(self) -> Message[ServerInfo]:
        return _json(
            "GET",
            "/v2",
            lambda got: ServerInfo(got["name"], got["version"], tuple(got["extensions"])),
        )

    def model(self, name: str, version: str = "") -> Message[ModelInfo]:
        return _json("GET", _versioned(name, version, ""), _model_info)

    def index(self) -> Message[tuple[ModelState, ...]]:
        return _json(
            "POST",
            "/v2/repository/index",
            lambda got: tuple(
                ModelState(
                    one["name"],
                    one.get("version", ""),
                    one.get("state", ""),
                    one.get("reason", ""),
                )
                for one in got
            ),
        )

    def statistics(
        self, model: str = "", version: str = ""
    ) -> Message[tuple[ModelStatistics, ...]]:
        path = _versioned(model, version, "stats") if model else "/v2/models/stats"
        return _json("GET", path, _statistics)

    def load(self, model: str) -> Message[None]:
        return _order(f"/v2/repository/models/{quote(model, safe='')}/load", {})

    def unload(self, model: str) -> Message[None]:
        return _order(f"/v2/repository/models/{quote(model, safe='')}/unload", {})

    def register_memory(self, name: str, key: str, size_bytes: int) -> Message[None]:
        body = {"key": key, "offset": 0, "byte_size": size_bytes}
        return _order(f"/v2/systemsharedmemory/region/{name}/register", body)

    def unregister_memory(self, name: str) -> Message[None]:
        return _order(f"/v2/systemsharedmemory/region/{name}/unregister", {})


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _versioned(model: str, version: str, action: str) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    path += f"/versions/{quote(version, safe='')}" if version else ""
    return f"{path}/{action}" if action else path


def _model_path(request: Request, action: str) -> str:
    return _versioned(request.model, request.version, action)


def _json(method: str, path: str, read: Callable[[Any], T]) -> Message[T]:
    def decode_answer(raw: Raw) -> T:
        try:
            return read(json.loads(raw.body))
        except (ValueError, KeyError, TypeError) as err:
            raise Fault(Kind.GARBLED, f"{path} answered {raw.body[:80]!r}") from err

    headers = {"content-type": "application/json"} if method == "POST" else {}
    return Message(method, path, (b"{}",) if method == "POST" else (), decode_answer, headers)


def _order(path: str, body: Mapping[str, Any]) -> Message[None]:
    headers = {"content-type": "application/json"}
    return Message("POST", path, (_compact(body),), lambda _: None, headers)


def _infer_header(request: Request) -> dict[str, Any]:
    parameters: dict[str, Any] = dict(request.parameters)
    if request.timeout_us:
        parameters["timeout"] = request.timeout_us
    header: dict[str, Any] = {"inputs": [_input(one) for one in request.inputs]}
    if request.outputs:
        header["outputs"] = [
            {"name": name, "parameters": {"binary_data": True}} for name in request.outputs
        ]
    else:
        parameters["binary_data_output"] = True
    if request.id:
        header["id"] = request.id
    return header | {"parameters": parameters}


def _input(tensor: Tensor) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
    }
    if isinstance(tensor.content, Region):
        parameters: dict[str, Any] = {
            "shared_memory_region": tensor.content.name,
            "shared_memory_byte_size": tensor.content.size_bytes,
        }
        if tensor.content.offset:
            parameters["shared_memory_offset"] = tensor.content.offset
        return made | {"parameters": parameters}
    return made | {"parameters": {"binary_data_size": tensor.size_bytes}}


def _reply(raw: Raw) -> Reply:
    """A reply whose tensors follow the JSON, each as long as `binary_data_size` says."""
    size = int(raw.headers.get(HEADER_LENGTH, len(raw.body)))
    try:
        header = json.loads(raw.body[:size])
        outputs, offset = {}, size
        for one in header.get("outputs", ()):
            length = one.get("parameters", {}).get("binary_data_size")
            if length is None:
                outputs[one["name"]] = _from_json(one["data"], one["datatype"], one["shape"])
                continue
            content = memoryview(raw.body)[offset : offset + length]
            outputs[one["name"]] = decode(content, one["datatype"], one["shape"])
            offset += length
        return Reply(
            header["model_name"],
            header["model_version"],
            outputs,
            header.get("id", ""),
            header.get("parameters", {}),
        )
    except (ValueError, KeyError, TypeError) as err:
        raise Fault(Kind.GARBLED, f"the answer starts with {raw.body[:80]!r}") from err


def _from_json(data: Any, name: str, shape: list[int]) -> Array:
    """A tensor that came as JSON although binary was asked for, as other V2 servers send."""
    if name == "BYTES":
        elements = np.empty(len(data), dtype=object)
        elements[:] = [one.encode() for one in data]
        return elements.reshape(shape)
    return np.array(data, dtype=DTYPES[name]).reshape(shape)


def _json_value(tensor: Tensor) -> Any:
    """A tensor as generate_stream takes it: one value, or a list of them."""
    if isinstance(tensor.content, Region):
        raise Fault(Kind.UNSUPPORTED, "a stream over HTTP takes no shared memory")
    array = decode(b"".join(tensor.content), tensor.datatype, tensor.shape)
    if tensor.datatype == "BYTES":
        try:
            values = [one.decode() for one in array.reshape(-1)]
        except UnicodeDecodeError as err:
            raise Fault(
                Kind.INVALID, f"{tensor.name}: a stream over HTTP takes UTF-8 text only"
            ) from err
    else:
        values = array.reshape(-1).tolist()
    return values[0] if array.size == 1 else values


def _event(raw: Raw) -> Reply | None:
    """One event of a stream: `{"model_name", "model_version", <output>: <value>, ...}`."""
    try:
        event = json.loads(raw.body)
        model, version = event.pop("model_name"), event.pop("model_version")
    except (ValueError, KeyError, AttributeError) as err:
        raise Fault(Kind.GARBLED, f"the stream sent {raw.body[:80]!r}") from err
    outputs = {name: _event_array(value) for name, value in event.items() if name != "id"}
    return Reply(model, version, outputs, str(event.get("id", ""))) if outputs else None


def _event_array(value: Any) -> Array:
    values = value if isinstance(value, list) else [value]
    if all(isinstance(one, str) for one in values):
        return _from_json(values, "BYTES", [len(values)])
    return np.array(values)


def _model_info(got: Any) -> ModelInfo:
    inputs, outputs = (
        tuple(TensorSpec(one["name"], one["datatype"], tuple(one["shape"])) for one in side)
        for side in (got["inputs"], got["outputs"])
    )
    return ModelInfo(got["name"], tuple(got.get("versions", ())), got["platform"], inputs, outputs)


def _statistics(got: Any) -> tuple[ModelStatistics, ...]:
    return tuple(
        ModelStatistics(
            one["name"],
            one["version"],
            one["inference_count"],
            one["execution_count"],
            {
                name: Duration(
                    one["inference_stats"][name]["count"], one["inference_stats"][name]["ns"]
                )
                for name in DURATIONS
            },
        )
        for one in got["model_stats"]
    )
