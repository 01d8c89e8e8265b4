"""What a caller may hand in, turned into the encoded bytes that the pipelines take.

Paths and bytes go as they are; arrays are encoded without loss, with nothing but zlib and struct.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from emoserve_client.errors import InputError

PathLike: TypeAlias = "str | os.PathLike[str]"
# A file, its bytes, or uint8 [height, width, 3] RGB or [height, width] grey.
Picture: TypeAlias = "PathLike | bytes | npt.NDArray[np.uint8]"
# A file, its bytes, or float32 in [-1, 1] or int16, [samples] or [channels, samples].
Sound: TypeAlias = "PathLike | bytes | npt.NDArray[np.float32] | npt.NDArray[np.int16]"
# A file or its bytes.
Media: TypeAlias = "PathLike | bytes"

_ZLIB_LEVEL = 1  # a picture goes once over a network: time counts more than size
_MAX_CHANNELS = 32


def picture(value: Picture) -> bytes:
    """The picture's encoded bytes; an array becomes PNG. Reads files.

    Raises:
        InputError: the file cannot be read, or the array is no picture.
    """
    return _bytes_of(value, "image", lambda array: encode_png(array))


def sound(value: Sound, rate_hz: int | None = None) -> bytes:
    """The sound's encoded bytes; an array, at `rate_hz` samples a second, becomes WAV. Reads files.

    Raises:
        InputError: the file cannot be read, the array is no sound, or its rate is missing.
    """
    return _bytes_of(value, "audio", lambda array: encode_wav(array, rate_hz))


def media(value: Media) -> bytes:
    """The clip's bytes. Reads files.

    Raises:
        InputError: the file cannot be read, or it is empty.
    """
    return _bytes_of(value, "media", _no_array)


def words(value: str) -> bytes:
    """The text as UTF-8.

    Raises:
        InputError: it is no text, or blank.
    """
    if not isinstance(value, str):
        raise InputError(f"text: expected a str, not {type(value).__name__}", reason="unsupported")
    if not value.strip():
        raise InputError("text: there is nothing in it", reason="empty")
    try:
        return value.encode()
    except UnicodeEncodeError as err:
        raise InputError(f"text: not encodable as UTF-8: {err}", reason="not_utf8") from err


def _no_array(array: npt.NDArray[Any]) -> bytes:
    raise InputError(
        f"media: expected a path or bytes, not an array {list(array.shape)}", reason="unsupported"
    )


def _bytes_of(value: object, what: str, encode: Callable[[npt.NDArray[Any]], bytes]) -> bytes:
    if isinstance(value, np.ndarray):
        return encode(value)
    if isinstance(value, str | os.PathLike):
        value = _read(Path(os.fspath(value)), what)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(
            f"{what}: expected a path, bytes or an array, not {type(value).__name__}",
            reason="unsupported",
        )
    if not len(value):
        raise InputError(f"{what}: there is nothing in it (0 bytes)", reason="empty")
    return value if isinstance(value, bytes) else bytes(value)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        problem = err.strerror or type(err).__name__
        raise InputError(f"{what}: cannot read {path}: {problem}", reason="unreadable") from err


def encode_png(array: npt.NDArray[Any]) -> bytes:
    """A PNG of `array`, uint8 [height, width, 3] RGB or [height, width] grey.

    Source: PNG specification (W3C, third edition), sections 9 (filter 2, Up) and 11.

    Raises:
        InputError: the array has another dtype or shape.
    """
    colours = {2: 0, 3: 2}.get(array.ndim)
    wrong_depth = array.ndim == 3 and array.shape[2] != 3
    if array.dtype != np.uint8 or colours is None or wrong_depth or not array.size:
        raise InputError(
            "image: an array must be uint8 [height, width, 3] RGB or [height, width], "
            f"not {array.dtype} {list(array.shape)}",
            reason="unsupported",
        )
    height, width = array.shape[:2]
    rows = array.reshape(height, -1)  # [height, width * channels]
    lines = np.empty((height, rows.shape[1] + 1), np.uint8)
    lines[:, 0] = 2  # each line is told as its difference to the one above
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    data = zlib.compress(lines.data, _ZLIB_LEVEL)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_wav(array: npt.NDArray[Any], rate_hz: int | None) -> bytes:
    """A WAV of `array`, float32 or int16, [samples] or [channels, samples].

    Source: Microsoft, «Multiple Channel Audio Data and WAVE Files»: format 1 is PCM, 3 IEEE float.

    Raises:
        InputError: the array has another dtype or shape, or the rate is missing.
    """
    form = {np.dtype(np.int16): 1, np.dtype(np.float32): 3}.get(array.dtype)
    if form is None or array.ndim not in (1, 2) or not array.size:
        raise InputError(
            "audio: an array must be float32 or int16, [samples] or [channels, samples], "
            f"not {array.dtype} {list(array.shape)}",
            reason="unsupported",
        )
    channels = 1 if array.ndim == 1 else array.shape[0]
    if channels > _MAX_CHANNELS:
        raise InputError(
            f"audio: {channels} channels; an array is [channels, samples], not the other way",
            reason="unsupported",
        )
    if not rate_hz or rate_hz < 0:
        raise InputError("audio: an array needs `rate_hz`, samples a second", reason="bad_option")
    samples = np.ascontiguousarray(array.T).tobytes()  # [samples, channels]
    frame = channels * array.dtype.itemsize
    layout = (form, channels, rate_hz, rate_hz * frame, frame, array.dtype.itemsize * 8, 0)
    head = b"fmt " + struct.pack("<IHHIIHHH", 18, *layout)
    head += b"fact" + struct.pack("<II", 4, array.size // channels)
    body = b"WAVE" + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pictures(values: Picture | Sequence[Picture]) -> list[bytes]:
    """One picture or several, each encoded. A string is one path."""
    if isinstance(values, list | tuple):
        return [picture(one) for one in values]
    return [picture(values)]  # type: ignore[arg-type]
