"""Bytes on the wire: tensors, the protobuf written by hand, events, addresses, statuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from tritonclient.grpc import service_pb2 as pb

from emoserve_client import InputError, WrongAnswerError
from emoserve_client._endpoint import Endpoint, targets
from emoserve_client._events import Events
from emoserve_client._faults import grpc_fault, http_fault, reason_of, text_fault
from emoserve_client._message import Fault, Kind, Raw
from emoserve_client._request import Region, Request, Tensor
from emoserve_client._tensors import decode, encode, to_bf16
from emoserve_client._wire_grpc import GrpcWire
from emoserve_client._wire_http import HttpWire


@given(scalar_dtypes().flatmap(lambda dtype: arrays(dtype, array_shapes(min_side=0))))
def test_tensors_survive(array: np.ndarray) -> None:  # type: ignore[type-arg]
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        with pytest.raises(InputError, match="Triton has no type for"):
            Tensor.of("x", array)
        return
    tensor = Tensor.of("x", array)
    back = decode(b"".join(tensor.content), tensor.datatype, tensor.shape)  # type: ignore[arg-type]
    np.testing.assert_array_equal(back, array)


@given(st.lists(st.one_of(st.binary(), st.text())))
def test_strings_survive(values: list[Any]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    back = decode(b"".join(encode(array)), "BYTES", array.shape)
    assert back.tolist() == [v.encode() if isinstance(v, str) else v for v in values]


def test_bf16_is_rounded_to_the_nearest() -> None:
    array = np.array([1.0, 1.00390625, 1.01171875, -3.1415927, np.inf, np.nan, 0.0], np.float32)
    back = decode(to_bf16(array).tobytes(), "BF16", array.shape)
    np.testing.assert_array_equal(back, np.float32([1, 1, 1.015625, -3.140625, np.inf, np.nan, 0]))


@pytest.mark.parametrize(
    ("raw", "name", "shape"),
    [
        (b"123", "FP32", [1]),
        (b"1234", "FP32", [2]),
        (b"1234", "NEW8", [1]),
        (b"\x05\0\0\0abc", "BYTES", [1]),
        (b"\x05\0", "BYTES", [1]),
        (b"\x01\0\0\0a", "BYTES", [2]),
    ],
)
def test_a_tensor_that_does_not_fit_is_a_wrong_answer(
    raw: bytes, name: str, shape: list[int]
) -> None:
    with pytest.raises(WrongAnswerError):
        decode(raw, name, shape)


def request() -> Request:
    return Request(
        "model",
        (
            Tensor.of("a", np.arange(300, dtype=np.float32)),
            Tensor("b", "FP32", (2,), Region("region", 8, 16)),
            Tensor.of("c", np.array([b"\0x", "ü"], dtype=object)),
        ),
        ("out",),
        version="3",
        id="7",
        parameters={"flag": True, "count": 2, "share": 0.5, "word": "x"},
        timeout_us=1500,
    )


def test_the_request_is_the_protobuf_that_protobuf_reads() -> None:
    message = GrpcWire().infer(request())
    (body,) = message.parts
    read = pb.ModelInferRequest.FromString(bytes(body))
    assert (read.model_name, read.model_version, read.id) == ("model", "3", "7")
    assert [(one.name, one.datatype, list(one.shape)) for one in read.inputs] == [
        ("a", "FP32", [300]),
        ("b", "FP32", [2]),
        ("c", "BYTES", [2]),
    ]
    assert read.inputs[1].parameters["shared_memory_offset"].int64_param == 16
    first, second = read.raw_input_contents
    assert first == np.arange(300, dtype=np.float32).tobytes()
    assert second == b"\x02\0\0\0\0x\x02\0\0\0" + "ü".encode()
    assert read.parameters["timeout"].int64_param == 1500
    assert read.parameters["flag"].bool_param is True
    assert read.parameters["share"].double_param == 0.5
    assert [one.name for one in read.outputs] == ["out"]


def test_http_sends_the_arrays_own_memory() -> None:
    array = np.arange(8, dtype=np.float32)
    message = HttpWire().infer(Request("model", (Tensor.of("a", array),)))
    assert np.shares_memory(np.frombuffer(message.parts[1], np.float32), array)
    assert message.headers["inference-header-content-length"] == str(len(message.parts[0]))


def test_reserved_parameters_are_refused() -> None:
    for name in ("timeout", "sequence_id", "triton_x"):
        with pytest.raises(InputError, match="Triton's own"):
            Request("model", (), parameters={name: 1})


@pytest.mark.parametrize("wire", [GrpcWire(), HttpWire()])
def test_nonsense_for_an_answer_is_garbled(wire: Any) -> None:
    message = wire.infer(Request("model", ()))
    with pytest.raises(Fault) as caught:
        message.decode(Raw(b"\xff\xfe nonsense"))
    assert caught.value.kind is Kind.GARBLED


@given(st.lists(st.integers(1, 7), max_size=30))
def test_events_may_come_in_any_pieces(cuts: list[int]) -> None:
    body = b': hello\ndata: {"a": 1}\n\nevent: x\ndata: {"b":\r\ndata: 2}\r\n\r\n\n'
    events, found, at = Events(), [], 0
    for cut in [*cuts, len(body)]:
        found += events.feed(body[at : at + cut])
        at += cut
    events.end()
    assert found == [b'{"a": 1}', b'{"b":\n2}']


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'data: {"error":"[undecodable] media: x"}\n\n', Kind.INVALID),
        (b'data: {"error":"boom"}\n\n', Kind.FAILED),
        (b"<html>", Kind.RESET),
        (b"<html>\n", Kind.GARBLED),
        (b'data: {"a": 1}\n', Kind.RESET),
        (b'data: {"error"\n\n', Kind.GARBLED),
    ],
)
def test_events_are_read_strictly(body: bytes, kind: Kind) -> None:
    events = Events()

    def read() -> None:
        list(events.feed(body))
        events.end()

    with pytest.raises(Fault) as caught:
        read()
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("grpc://host", Endpoint("grpc", "host", 8001)),
        ("host:9", Endpoint("grpc", "host", 9)),
        ("grpcs://host:443", Endpoint("grpcs", "host", 443)),
        ("http://127.0.0.1", Endpoint("http", "127.0.0.1", 8000)),
        ("https://host/", Endpoint("https", "host", 443)),
        ("grpc://[::1]:8001", Endpoint("grpc", "::1", 8001)),
    ],
)
def test_addresses(text: str, endpoint: Endpoint) -> None:
    (target,) = targets(text)
    assert target.endpoint == endpoint
    assert not target.resolve


def test_several_addresses_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = targets(["grpc://a", "grpc://b:2,grpc://c"])
    assert [str(one.endpoint) for one in found] == ["grpc://a:8001", "grpc://b:2", "grpc://c:8001"]
    for text in ("dns:///localhost:7", "grpc+dns://localhost:7"):
        (target,) = targets(text)
        assert target.resolve
        assert Endpoint("grpc", "127.0.0.1", 7, "localhost") in target.endpoints()
    monkeypatch.setenv("EMOSERVE_URL", "http://here:1")
    assert targets(None)[0].endpoint == Endpoint("http", "here", 1)
    monkeypatch.delenv("EMOSERVE_URL")
    assert targets(None)[0].endpoint == Endpoint("grpc", "127.0.0.1", 8001)


@pytest.mark.parametrize(
    "text", ["ftp://x", "grpc://", "grpc://x:99999", "http://x/v2", "http://x?y", "", ","]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="address") as caught:
        targets([text])
    assert caught.value.reason == "bad_address"


def test_one_client_speaks_one_protocol() -> None:
    with pytest.raises(InputError, match="one protocol, not grpc and http"):
        targets(["grpc://a", "http://a"])


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "Exceeds maximum queue size", Kind.BUSY),
        ("UNAVAILABLE", "Request timeout expired", Kind.BUSY),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'x'", Kind.DENIED),
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", Kind.UNREACHABLE),
        ("UNAVAILABLE", "GOAWAY received", Kind.RESET),
        ("INTERNAL", "Received RST_STREAM with error code 2", Kind.RESET),
        ("INTERNAL", "the network fell over", Kind.FAILED),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (1 vs. 2)", Kind.INVALID),
        (
            "UNKNOWN",
            "Stream removed (Failed parsing HTTP/2 (Frame size 7628905 is larger than max frame"
            " size 4194304))",
            Kind.RESET,
        ),
        ("RESOURCE_EXHAUSTED", "quota", Kind.BUSY),
        ("CANCELLED", "", Kind.CANCELLED),
        ("UNAUTHENTICATED", "", Kind.DENIED),
        ("NOT_FOUND", "Request for unknown model: 'x' is not found", Kind.NOT_FOUND),
        (
            "NOT_FOUND",
            "Request for unknown model: 'x' has no available versions",
            Kind.UNAVAILABLE,
        ),
        ("INVALID_ARGUMENT", "[too_large] media: GOAWAY", Kind.INVALID),
        ("UNKNOWN", "", Kind.FAILED),
    ],
)
def test_grpc_statuses(code: str, details: str, kind: Kind) -> None:
    assert grpc_fault(code, details, {}).kind is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":"[empty] text: nothing"}', Kind.INVALID),
        (400, b'{"error":"request was cancelled"}', Kind.CANCELLED),
        (403, b"", Kind.DENIED),
        (404, b'{"error":"Request for unknown model"}', Kind.NOT_FOUND),
        (429, b"", Kind.BUSY),
        (500, b"<html>", Kind.FAILED),
        (503, b'{"error":"Exceeds maximum queue size"}', Kind.BUSY),
        (502, b"bad gateway", Kind.UNAVAILABLE),
        (302, b"", Kind.FAILED),
    ],
)
def test_http_statuses(status: int, body: bytes, kind: Kind) -> None:
    assert http_fault(status, {}, body).kind is kind


def test_pushback_in_both_protocols() -> None:
    assert grpc_fault("UNAVAILABLE", "", {"grpc-retry-pushback-ms": "1500"}).pushback_s == 1.5
    assert grpc_fault("UNAVAILABLE", "", {"grpc-retry-pushback-ms": "-1"}).pushback_s == -0.001
    assert http_fault(503, {"retry-after": "3"}, b"").pushback_s == 3
    assert http_fault(503, {"retry-after-ms": "250"}, b"").pushback_s == 0.25
    assert http_fault(503, {"retry-after": "Fri, 31 Dec 1999"}, b"").pushback_s is None


def test_messages_without_a_status() -> None:
    assert text_fault("[too_long] text: x").kind is Kind.INVALID
    assert text_fault("[request id: 7] unexpected shape for input 'x'").kind is Kind.INVALID
    assert text_fault("[request id: 7] boom").message == "boom"
    assert text_fault("Request for unknown model: 'x' is not found").kind is Kind.NOT_FOUND
    assert reason_of("[too_long] text: 9 [x]") == ("too_long", "text: 9 [x]")
    assert reason_of("[Not a reason] x") == ("", "[Not a reason] x")
