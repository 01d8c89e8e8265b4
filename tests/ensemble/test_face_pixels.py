"""A crop becomes the face network's input, with values worked out by hand."""

import numpy as np
import pytest

from emoserve_ensemble.face_pixels import SIDE, face_pixels


def test_a_crop_of_the_right_size_is_only_divided() -> None:
    crop = np.arange(48 * 48, dtype=np.uint32).reshape(48, 48).astype(np.uint8)
    pixels = face_pixels(crop)
    assert pixels.shape == (1, SIDE, SIDE)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0], crop.astype(np.float32) / 255)


def test_a_shrinking_side_is_averaged_over_the_area() -> None:
    crop = np.zeros((96, 72), np.uint8)
    crop[0::2] = 100  # every new row covers one row of 100 and one of 0
    crop[:, 0] = 250  # 1.5 old columns make a new one: the first takes 2/3 of this column
    pixels = face_pixels(crop)[0]
    np.testing.assert_allclose(pixels[:, 1:], 50 / 255, atol=1e-6)
    np.testing.assert_allclose(pixels[:, 0], (250 * 2 / 3 + 50 / 3) / 255, atol=1e-6)


def test_a_growing_side_is_interpolated() -> None:
    crop = np.tile(np.array([0, 240], np.uint8), (2, 1))
    row = face_pixels(crop)[0, 0]
    np.testing.assert_allclose(row[:12], 0, atol=1e-7)
    np.testing.assert_allclose(row[36:], 240 / 255, atol=1e-6)
    np.testing.assert_allclose(np.diff(row[12:36]), 240 / 255 / 24, atol=1e-6)


@pytest.mark.parametrize("side", [1, 7, 47, 49, 333])
def test_a_flat_crop_stays_flat(side: int) -> None:
    np.testing.assert_allclose(face_pixels(np.full((side, 60), 77, np.uint8)), 77 / 255, rtol=1e-5)


@pytest.mark.parametrize(
    "crop",
    [np.zeros((48, 48), np.float32), np.zeros((48, 48, 3), np.uint8), np.zeros((0, 48), np.uint8)],
)
def test_says_what_is_accepted(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[height, width\] with pixels is accepted"):
        face_pixels(crop)
