import contextlib

import cv2
import numpy as np
import pytest

from emoserve_ensemble.errors import InputError
from emoserve_ensemble.images import decode_image, image_size
from emoserve_ensemble.limits import Limits

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_size_is_read_from_the_header_and_matches_the_pixels(extension: str) -> None:
    data = cv2.imencode(extension, PIXELS)[1].tobytes()
    assert image_size(data) == (53, 37)
    assert decode_image(data, Limits()).shape == (37, 53, 3)


def test_png_pixels_come_back_as_rgb() -> None:
    data = cv2.imencode(".png", PIXELS[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_image(data, Limits()), PIXELS)


def test_progressive_jpeg_and_lossless_webp_sizes() -> None:
    jpeg = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    webp = cv2.imencode(".webp", PIXELS, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert image_size(jpeg) == image_size(webp) == (53, 37)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(50), "unsupported"),
        (b"\xff\xd8\xff\xe0", "undecodable"),
        (b"\x89PNG\r\n\x1a\n" + bytes(4), "undecodable"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40), "too_large"),
    ],
)
def test_what_cannot_be_used_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_image(data, Limits())
    assert caught.value.reason == reason


def test_a_bomb_is_refused_by_its_header_before_decoding() -> None:
    header = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR"
    bomb = header + (100_000).to_bytes(4, "big") * 2 + bytes(20)
    with pytest.raises(InputError, match="100000 x 100000 pixels"):
        decode_image(bomb, Limits())


def test_a_jpeg_cut_in_its_first_block_does_not_crash() -> None:
    data = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    for stop in range(4, len(data), 101):
        with contextlib.suppress(InputError):
            assert decode_image(data[:stop], Limits()).shape == (37, 53, 3)


def test_a_header_behind_endless_segments_is_not_looked_for() -> None:
    jpeg = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    filled, empty = b"\xff" * 2**20, b"\xff\xfe\x00\x02"  # fill bytes; a comment of no length
    assert image_size(jpeg[:2] + filled + jpeg[2:]) == (53, 37)
    assert image_size(jpeg[:2] + empty * 1_000 + jpeg[2:]) == (53, 37)
    assert image_size(jpeg[:2] + empty * 1_000_000 + jpeg[2:]) is None
