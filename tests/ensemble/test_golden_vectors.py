"""Each pre-processing function against stored values and against an independent implementation.

The stored values are part of the function's version: where one changes, the version's number does,
and networks trained on the old one must be trained or calibrated again. (`log_mel_v1` has its own,
against librosa, in test_log_mel.py.)
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer as HuggingFace

from emoserve_ensemble import face_pixels, log_mel, tokens
from emoserve_ensemble.face import crop_face
from emoserve_ensemble.tokens import Tokenizer

FACE_PIXELS = [0.760784, 0.520392, 0.200392, 0.41098]
FACE_PIXELS_MEAN = 0.479406
TOKENS = [101, 1045, 2064, 1005, 1056, 2903, 2017, 2106, 2008, 2005, 2033, 999, 102]


def picture(height: int, width: int) -> np.ndarray:
    """Return uint8 [height, width]: waves, the same on every machine."""
    y, x = np.mgrid[:height, :width]
    return ((np.sin(x / 5) + np.cos(y / 7) + 2) * 63).astype(np.uint8)


def test_versions_are_the_ones_the_checkpoints_name() -> None:
    assert face_pixels.VERSION == "face_pixels_v1"
    assert log_mel.VERSION == "log_mel_v1"
    assert tokens.VERSION == "tokens_v1"


def test_face_pixels_golden() -> None:
    values = face_pixels.face_pixels(picture(120, 96))[0]
    assert values[[0, 10, 24, 47], [0, 20, 30, 47]] == pytest.approx(FACE_PIXELS, abs=1e-5)
    assert float(values.mean()) == pytest.approx(FACE_PIXELS_MEAN, abs=1e-5)


@pytest.mark.parametrize("size", [(48, 48), (96, 144), (480, 480)])
def test_face_pixels_shrink_like_pillows_box_filter(size: tuple[int, int]) -> None:
    """Pillow rounds to whole grey levels after each axis: one level of 255 is the error."""
    crop = picture(*size)
    theirs = np.asarray(Image.fromarray(crop).resize((48, 48), Image.Resampling.BOX), np.float32)
    ours = face_pixels.face_pixels(crop)[0] * 255
    assert float(np.abs(ours - theirs).max()) <= 1.0


def test_face_pixels_grow_like_pillows_bilinear_filter() -> None:
    crop = picture(24, 20)
    theirs = Image.fromarray(crop).resize((48, 48), Image.Resampling.BILINEAR)
    ours = face_pixels.face_pixels(crop)[0] * 255
    assert float(np.abs(ours - np.asarray(theirs, np.float32)).max()) <= 1.01


def test_crop_is_the_square_about_the_box_with_its_border_repeated() -> None:
    grey = picture(60, 80)
    crop = crop_face(
        np.repeat(grey[..., None], 3, axis=2), np.asarray([60, 10, 90, 50], np.float32)
    )
    assert crop.shape == (40, 40)
    np.testing.assert_array_equal(crop[:, :25], grey[10:50, 55:80])
    np.testing.assert_array_equal(crop[:, 25:], np.repeat(grey[10:50, 79:80], 15, axis=1))


def test_tokens_golden(tokenizer: Tokenizer) -> None:
    found = tokenizer.encode(["I can’t believe you did that for me!", "Oh."])
    assert found.input_ids[0].tolist() == TOKENS
    assert found.attention_mask.sum(axis=1).tolist() == [len(TOKENS), 4]


def test_tokens_equal_the_librarys_own_on_real_sentences(
    data: Path, repository: Path, tokenizer: Tokenizer
) -> None:
    theirs = HuggingFace.from_file(str(repository / "text_tokens" / "1" / "tokenizer.json"))
    theirs.no_padding()
    theirs.enable_truncation(128)
    with (data / "meld" / "dev_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        sentences = [row["Utterance"] for row in csv.DictReader(file)]
    plain = [sentence for sentence in sentences if sentence.isascii() and "`" not in sentence]
    assert len(plain) > 400
    for sentence in plain:
        ours = tokenizer.encode([sentence]).input_ids[0].tolist()
        assert ours == theirs.encode(sentence).ids, sentence
