"""numpy arrays to Triton's raw bytes and back (KServe V2, «raw tensor data representation»).

Source: Triton `docs/protocol/extension_binary_data.md`: row-major, little-endian, no padding;
BYTES elements are each preceded by their length as a 4-byte little-endian integer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from emoserve_client._message import Buffer
from emoserve_client.errors import InputError, WrongAnswerError

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype(array: Array) -> str:
    """Triton's name for the array's dtype; strings and bytes are BYTES.

    Raises:
        InputError: Triton has no such type.
    """
    if array.dtype.kind in "OSU":
        return "BYTES"
    name = _NAMES.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
    if name is None:
        raise InputError(
            f"Triton has no type for {array.dtype}; it takes {', '.join(map(str, _NAMES))}, "
            "and str or bytes objects",
            reason="unsupported",
        )
    return name


def encode(array: Array) -> tuple[Buffer, ...]:
    """The array's raw bytes in pieces: views on its own memory where layout and order allow."""
    if array.dtype.kind in "OSU":
        return _encode_bytes(array)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return (little.reshape(-1).view(np.uint8).data,) if little.size else ()


def _encode_bytes(array: Array) -> tuple[Buffer, ...]:
    pieces: list[Buffer] = []
    for value in array.reshape(-1):
        element = _element(value)
        pieces += (struct.pack("<I", len(element)), element)
    return tuple(pieces)


def _element(value: object) -> Buffer:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return memoryview(value).cast("B")
    raise InputError(
        f"a BYTES tensor holds str or bytes, not {type(value).__name__}", reason="unsupported"
    )


def decode(raw: Buffer, name: str, shape: Sequence[int]) -> Array:
    """An array of Triton's type `name` and of `shape`; BYTES give an object array of bytes.

    Raises:
        WrongAnswerError: the bytes do not fit the type and the shape.
    """
    if name == "BYTES":
        return _decode_bytes(raw, shape)
    if name == "BF16":
        return _decode_bf16(raw, shape)
    dtype = DTYPES.get(name)
    if dtype is None:
        raise WrongAnswerError(f"the answer has a tensor of the unknown type {name!r}")
    try:
        return np.frombuffer(raw, dtype).reshape(tuple(shape))
    except ValueError as err:
        raise WrongAnswerError(
            f"{len(raw)} bytes are no {name} tensor of shape {list(shape)}"
        ) from err


def _decode_bytes(raw: Buffer, shape: Sequence[int]) -> Array:
    view, elements, offset = memoryview(raw), [], 0
    while offset < len(view):
        if offset + 4 > len(view):
            raise WrongAnswerError("a BYTES tensor ends inside a length")
        (size,) = struct.unpack_from("<I", view, offset)
        if offset + 4 + size > len(view):
            raise WrongAnswerError("a BYTES tensor ends inside an element")
        elements.append(bytes(view[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    try:
        return array.reshape(tuple(shape))
    except ValueError as err:
        raise WrongAnswerError(
            f"{len(elements)} BYTES elements do not fill the shape {list(shape)}"
        ) from err


def to_bf16(array: Array) -> npt.NDArray[np.uint16]:
    """float32 rounded to the nearest bfloat16 (ties to even), as its 16 bits."""
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    # A NaN must not be carried over into infinity.
    return np.where(np.isnan(array), np.uint16(0x7FC0), (rounded >> 16).astype("<u2"))


def _decode_bf16(raw: Buffer, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """bfloat16 as float32: its 16 bits are the upper half."""
    upper = decode(raw, "UINT16", shape).astype("<u4") << 16
    return upper.view("<f4")
