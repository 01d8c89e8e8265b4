"""The real data of the tests as `--samples`: `python tests/export/real_samples.py DATA OUT`.

Calibration comes from other splits than the metric: FER2013's validation set, RAVDESS's training
actors, MELD's dev set; the metric from FER2013's test set, RAVDESS's validation actors, MELD's
test set.
"""

import csv
import sys
from pathlib import Path

import av
import cv2
import numpy as np

from emoserve_ensemble.labels import EMOTIONS
from emoserve_ensemble.log_mel import windows
from emoserve_ensemble.tokens import Tokenizer
from emoserve_export.catalogue import FACE_LABELS, TOKENIZER

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


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        to_mono = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        frames = [out for frame in container.decode(audio=0) for out in to_mono.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)


def speech_samples(data: Path) -> Arrays:
    rows = rows_of(data / "ravdess" / "index.csv")
    train = [row for row in rows if row["split"] == "train"]
    val = [row for row in rows if row["split"] == "val"]
    first = {
        part: np.stack(
            [windows(sound(data / "ravdess" / row["file"])).log_mel[0] for row in chosen]
        )
        for part, chosen in (("train", train), ("val", val))
    }
    return {
        "log_mel": first["val"],
        "target": np.asarray([int(row["label"]) for row in val]),
        "metric": np.asarray("macro_recall"),
        "calibration/log_mel": first["train"],
    }


def text_samples(data: Path) -> Arrays:
    tokenizer = Tokenizer(TOKENIZER.read())
    arrays: Arrays = {"metric": np.asarray("weighted_f1"), "output": np.asarray("emotion")}
    for split, before in (("dev", "calibration/"), ("test", "")):
        rows = rows_of(data / "meld" / f"{split}_sent_emo.csv")
        rows = rows[:CALIBRATION] if before else rows
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
