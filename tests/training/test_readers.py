"""Each data set is read in each layout in which it goes round."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoserve_training.data.faces import read_faces
from emoserve_training.data.meld import read_meld
from emoserve_training.data.ravdess import read_ravdess
from emoserve_training.loop import TrainingError

Write = Callable[..., Path]
Draw = Callable[[int, int], np.ndarray]


def test_kaggles_csv(face_csv: Write, face_of: Draw, tmp_path: Path) -> None:
    splits = read_faces(face_csv(tmp_path, 2))
    assert {name: len(faces) for name, faces in splits.items()} == {
        "train": 14,
        "val": 14,
        "test": 14,
    }
    np.testing.assert_array_equal(splits["val"].images[3], face_of(1, 1101))
    assert splits["val"].labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_class_folders_without_validation(face_folders: Write, tmp_path: Path) -> None:
    splits = read_faces(face_folders(tmp_path, 10))
    assert {name: len(faces) for name, faces in splits.items()} == {
        "train": 66,
        "val": 4,
        "test": 70,
    }
    again = read_faces(tmp_path)
    np.testing.assert_array_equal(again["val"].labels, splits["val"].labels)


def test_tiled_sheets(face_of: Draw, tmp_path: Path) -> None:
    for name, count in (("fer_train", 5), ("fer_train_extra", 2), ("fer_val", 3)):
        sheet = np.zeros((96, 144), np.uint8)
        for place in range(count):
            row, column = divmod(place, 3)
            sheet[row * 48 : row * 48 + 48, column * 48 : column * 48 + 48] = face_of(place, 0)
        Image.fromarray(sheet).save(tmp_path / f"{name}.jpg", quality=100)
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["index", "label"], *([n, n] for n in range(count))])
    splits = read_faces(tmp_path)
    assert splits["train"].labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    difference = splits["train"].images[4].astype(int) - face_of(4, 0)
    assert np.abs(difference).max() <= 3  # JPEG at its best


def test_a_folder_without_faces_says_what_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TrainingError, match=r"found: notes\.txt.*fer2013\.csv"):
        read_faces(tmp_path)


def test_a_short_row_of_pixels_is_named(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(TrainingError, match=r"fer2013\.csv:2: 3 pixels, expected 2304"):
        read_faces(tmp_path)


def test_recordings_by_name(ravdess: Write, tmp_path: Path) -> None:
    splits = read_ravdess(ravdess(tmp_path, actors=(1, 19, 22), rate_hz=8_000))
    assert {name: len(found) for name, found in splits.items()} == {"train": 8, "val": 8, "test": 8}
    angry = splits["val"][4]
    assert (angry.name, angry.actor, angry.label) == ("03-01-05-01-01-01-19", 19, 4)
    assert angry.samples.dtype == np.float32
    assert len(angry.samples) == 24_000  # 1.5 s, resampled from 8 kHz


def test_song_and_other_files_are_left_out(ravdess: Write, tmp_path: Path) -> None:
    folder = ravdess(tmp_path, actors=(1, 19))
    first = next(folder.rglob("*.wav"))
    for name in ("03-02-01-01-01-01-01.wav", "notes.wav"):
        first.with_name(name).write_bytes(first.read_bytes())
    assert len(read_ravdess(folder)["train"]) == 8


def test_a_missing_split_of_actors_is_named(ravdess: Write, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no recordings for val"):
        read_ravdess(ravdess(tmp_path, actors=(1, 2)))


def test_melds_files(meld: Write, tmp_path: Path) -> None:
    splits = read_meld(meld(tmp_path, 2))
    assert {name: len(found) for name, found in splits.items()} == {
        "train": 14,
        "val": 14,
        "test": 14,
    }
    assert splits["train"].texts[0] == "i hate this, number 0!"
    assert splits["train"].emotions == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)
    assert splits["train"].sentiments == (0, 0, 0, 0, 0, 0, 2, 2, 1, 1, 0, 0, 2, 2)


def test_meld_says_what_is_missing(meld: Write, tmp_path: Path) -> None:
    folder = meld(tmp_path)
    (folder / "dev_sent_emo.csv").unlink()
    with pytest.raises(TrainingError, match=r"has no dev_sent_emo\.csv"):
        read_meld(folder)
    (folder / "train_sent_emo.csv").write_text("Utterance,Emotion\nhi,joy\n")
    with pytest.raises(TrainingError, match="has no column Sentiment"):
        read_meld(folder)
    (folder / "train_sent_emo.csv").write_text("Utterance,Emotion,Sentiment\nhi,bliss,positive\n")
    with pytest.raises(TrainingError, match=r"unknown label 'bliss'; accepted are: anger"):
        read_meld(folder)
