"""Encoded pictures to pixels: format by content, size checked before decoding."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble.arrays import Pixels
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits

ACCEPTED = "JPEG, PNG or WebP"
_MOST_SEGMENTS = 20_000  # before a JPEG's frame header: more than 512 MB of metadata have
_FILL = re.compile(rb"\xff+")
_JOB_PICTURES = 32  # handed over at once: a hop costs 0.3 ms


def image_format(data: bytes) -> str | None:
    """Return `jpeg`, `png` or `webp` by the first bytes, or None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from the header alone, or None if it cannot be read.

    Sources: ITU-T T.81 B.2.2 (JPEG frame header), RFC 2083 11.2.1 (PNG), RFC 9649 2.5 (WebP).
    """
    kind = image_format(data)
    if kind == "png" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind == "webp" and len(data) >= 30:
        return _webp_size(data)
    if kind == "jpeg":
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        return width, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    # Frame headers are SOF0 to SOF15 but for DHT (C4), JPG (C8) and DAC (CC).
    frame_headers = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
    position = 2
    for _ in range(_MOST_SEGMENTS):
        if position + 9 > len(data) or data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes
            position = _FILL.match(data, position).end() - 1  # type: ignore[union-attr]
            continue
        if marker in frame_headers:
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return int.from_bytes(data[position + 7 : position + 9], "big"), height
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            position += 2
            continue
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return None


def check_image(data: bytes, limits: Limits) -> tuple[int, int]:
    """Return width and height in pixels, from the header, without a decoder.

    Raises:
        InputError: empty, too large, not one of the accepted formats, or without a header.
    """
    if not data:
        raise InputError("empty", f"image: no bytes; {ACCEPTED} is accepted")
    limits.check_bytes("image", len(data))
    if image_format(data) is None:
        raise InputError("unsupported", f"image: starts with {data[:8]!r}; {ACCEPTED} is accepted")
    size = image_size(data)
    if size is None:
        raise InputError("undecodable", f"image: {len(data)} bytes without a readable header")
    limits.check_pixels(*size)
    return size


@dataclass(frozen=True)
class Picture:
    """An encoded picture, and width and height from its header."""

    encoded: bytes
    size: tuple[int, int]

    @property
    def room_bytes(self) -> int:
        """What its pixels take."""
        return 3 * self.size[0] * self.size[1]


def checked(images: Sequence[bytes], limits: Limits) -> list[Picture | InputError]:
    """Return each picture, or why `check_image` refuses it."""
    return [_checked(image, limits) for image in images]


def _checked(image: bytes, limits: Limits) -> Picture | InputError:
    try:
        return Picture(image, check_image(image, limits))
    except InputError as error:
        return error


def at_once(pictures: Sequence[Picture], room_bytes: int) -> Sequence[Picture]:
    """Return as many of the first ones as are handed over in one job: at least one.

    Args:
        room_bytes: for the pixels of all of them.
    """
    count, taken_bytes = 1, pictures[0].room_bytes
    while count < min(len(pictures), _JOB_PICTURES):
        taken_bytes += pictures[count].room_bytes
        if taken_bytes > room_bytes:
            break
        count += 1
    return pictures[:count]


def decode_image(data: bytes, limits: Limits) -> Pixels:
    """Return uint8 [height, width, 3], RGB, the camera's rotation (EXIF) applied.

    Raises:
        InputError: as `check_image`, or broken.
    """
    import cv2  # 7 MB, not for those who only read headers

    check_image(data, limits)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError("undecodable", f"image: its {len(data)} bytes do not decode")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
