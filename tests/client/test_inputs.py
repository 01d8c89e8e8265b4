"""Arrays become files that independent decoders read back without loss."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emoserve_client import InputError
from emoserve_client._inputs import encode_png, encode_wav, media, picture, pictures, sound, words

PIXELS = arrays(
    np.uint8,
    st.one_of(
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)),
    ),
)


@given(PIXELS)
def test_a_picture_is_what_it_was(pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    flag = cv2.IMREAD_GRAYSCALE if pixels.ndim == 2 else cv2.IMREAD_COLOR_RGB
    decoded = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), flag)
    np.testing.assert_array_equal(decoded, pixels)


def test_a_view_of_a_picture_is_encoded_as_seen() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[::2, ::-1]
    decoded = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("shape", [(101,), (1, 101), (2, 101), (6, 3)])
def test_a_sound_is_what_it_was(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    samples = (np.random.default_rng(0).uniform(-1, 1, shape) * 2).astype(np.float32)
    if dtype is np.int16:
        samples = (samples * 10_000).astype(np.int16)
    path = tmp_path / "x.wav"
    path.write_bytes(encode_wav(samples, 22_050))
    decoded, rate_hz = soundfile.read(path, dtype=np.dtype(dtype).name, always_2d=True)
    assert rate_hz == 22_050
    np.testing.assert_array_equal(decoded.T, np.atleast_2d(samples))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_what_is_no_picture_says_what_is(array: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=r"must be uint8 \[height, width, 3\] RGB"):
        encode_png(array)


@pytest.mark.parametrize(
    ("array", "rate_hz", "says"),
    [
        (np.zeros(4, np.float64), 8000, "must be float32 or int16"),
        (np.zeros((1, 2, 3), np.float32), 8000, "must be float32 or int16"),
        (np.zeros((101, 2), np.float32), 8000, "101 channels"),
        (np.zeros(4, np.float32), None, "needs `rate_hz`"),
        (np.zeros(4, np.float32), -1, "needs `rate_hz`"),
    ],
)
def test_what_is_no_sound_says_what_is(
    array: np.ndarray,  # type: ignore[type-arg]
    rate_hz: int | None,
    says: str,
) -> None:
    with pytest.raises(InputError, match=says):
        encode_wav(array, rate_hz)


def test_paths_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"anything")
    for given_so in (path, str(path), b"anything", bytearray(b"anything"), memoryview(b"anything")):
        assert picture(given_so) == sound(given_so) == media(given_so) == b"anything"  # type: ignore[arg-type]
    assert pictures(str(path)) == [b"anything"]
    assert pictures([path, b"more"]) == [b"anything", b"more"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image: cannot read .*nope\.jpg: No such file") as caught:
        picture(tmp_path / "nope.jpg")
    assert caught.value.reason == "unreadable"
    with pytest.raises(InputError, match="cannot read"):
        picture(tmp_path)


def test_words_must_be_words() -> None:
    assert words("naïve") == "naïve".encode()
    with pytest.raises(InputError, match="not encodable"):
        words("\ud800")


def test_the_wav_header_holds_its_sizes() -> None:
    made = encode_wav(np.zeros((2, 5), np.int16), 8000)
    assert struct.unpack_from("<I", made, 4)[0] == len(made) - 8
    assert struct.unpack_from("<HHIIHH", made, 20) == (1, 2, 8000, 32_000, 4, 16)
