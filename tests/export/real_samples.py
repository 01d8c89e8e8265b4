"""The real data of the tests as `--samples`: `python tests/export/real_samples.py DATA OUT`.

Calibration comes from other splits than the metric: FER2013's validation set, RAVDESS's training
actors, MELD's dev set; the metric from FER2013's test set, RAVDESS's validation actors, MELD's
test set.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emoserve_ensemble.labels import EMOTIONS
from emoserve_ensemble.log_mel import windows
from emoserve_ensemble.tokens import Tokenizer
from emoserve_export.catalogue import FACE_LABELS, TOKENIZER

if TYPE_CHECKING:
    from emoserve_training.data.ravdess import Recording

CALIBRATION = 1024
TOKENS = 48
Arrays = dict[str, np.ndarray]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def faces(data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [faces, 1, 48, 48], grey / 255, and int64 [faces], FER2013's codes."""
    rows = rows_of(data / "faces" / f"{name}.csv")
    sheet = cv2.imread(str(data / "faces" / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    down, across = sheet.shape[0] // 48, sheet.shape[1] // 48
    tiles = sheet.reshape(down, 48, across, 48).swapaxes(1, 2).reshape(-1, 1, 48, 48)[: len(rows)]
    assert [*FACE_LABELS] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    return tiles.astype(np.float32) / 255, np.asarray([int(row["label"]) for row in rows])


def face_samples(data: Path) -> Arrays:
    calibration, _ = faces(data, "fer2013_val")
    inputs, target = faces(data, "fer2013_test")
    return {"face": inputs, "target": target, "calibration/face": calibration[:CALIBRATION]}


def speech_samples(data: Path) -> Arrays:
    """Return every window of whole recordings and of the same cut to their speech, as the card."""
    from emoserve_training.data.ravdess import read_ravdess

    splits = read_ravdess(data / "ravdess")
    val, target = speech_windows(splits["val"])
    train, _ = speech_windows(splits["train"])
    order = np.random.default_rng(0).permutation(len(train))
    return {
        "log_mel": val,
        "target": target,
        "metric": np.asarray("macro_recall"),
        "calibration/log_mel": train[order[:CALIBRATION]],
    }


def speech_windows(recordings: Sequence["Recording"]) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [windows, 64, 300] and int64 [windows], RAVDESS's codes from 0."""
    from emoserve_training.speech import cut_to_speech

    heard = [each for one in recordings for each in (one, cut_to_speech(one))]
    parts = [windows(one.samples).log_mel for one in heard]
    labels = [np.full(len(part), one.label) for one, part in zip(heard, parts, strict=True)]
    return np.concatenate(parts), np.concatenate(labels)


def text_samples(data: Path) -> Arrays:
    tokenizer = Tokenizer(TOKENIZER.read())
    arrays: Arrays = {"metric": np.asarray("weighted_f1"), "output": np.asarray("emotion")}
    for splits, before in ((("dev", "train"), "calibration/"), (("test",), "")):
        rows = [row for one in splits for row in rows_of(data / "meld" / f"{one}_sent_emo.csv")]
        rows = rows[: 2 * CALIBRATION] if before else rows
        tokens = tokenizer.encode([row["Utterance"] for row in rows])
        arrays[f"{before}input_ids"] = tokens.input_ids[:, :TOKENS]
        arrays[f"{before}attention_mask"] = tokens.attention_mask[:, :TOKENS]
        if not before:
            arrays["target"] = np.asarray([EMOTIONS.index(row["Emotion"]) for row in rows])
    return arrays


def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    made = {"face_net": face_samples, "speech_net": speech_samples, "text_net": text_samples}
    for name, samples in made.items():
        np.savez(out / f"{name}.npz", **samples(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
