"""What is sent: real pictures, speech and sentences of the shared data, made once per run."""

import csv
import io
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from emoserve_ensemble.arrays import Pixels
from emoserve_ensemble.decoder import LocalDecoder, decode_sound
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import RATE_HZ
from emoserve_peers.errors import DataError
from emoserve_peers.work import joined

BODIES = 4  # different requests of each workload, sent at the same time
TILE_PX, TINY_PX = 48, 64  # a face as FER2013 has it, and as it is sent
TILES = (0, 1, 3, 4)  # of fer2013_test: in each of them the detector finds the face
PICTURE_PX = (640, 480)  # width, height
PHOTOS = ("pyfeat_single_face", "fer_justin", "wild_shia", "pyfeat_f15_happy")  # one face each
SPEECH_S = 3.0
WORDS = (4, 8, 12, 20)  # of the sentences
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Workload:
    """One kind of request.

    Attributes:
        name: as the tables show it.
        pipeline: a name of `work.ANALYZE`.
        what: in words.
        bodies: `BODIES` different requests as raw bytes.
    """

    name: str
    pipeline: str
    what: str
    bodies: tuple[bytes, ...]


def read_workload(name: str, data: Path) -> Workload:
    """Return a workload of `KINDS`; `data` holds `faces`, `photos`, `ravdess` and `meld`.

    Raises:
        DataError: there is no such folder.
    """
    pipeline, what, bodies = KINDS[name]
    if not data.is_dir():
        raise DataError(f"no folder {data}: name the one with faces, photos, ... by --data")
    return Workload(name, pipeline, what, tuple(bodies(data)))


def _jpeg(picture: Pixels) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def tiny_faces(data: Path) -> list[bytes]:
    """Return 64x64 JPEGs, each filled by one face."""
    sheet = cv2.imread(str(data / "faces" / "fer2013_test.jpg"))
    tiles = [sheet[:TILE_PX, TILE_PX * index : TILE_PX * (index + 1)] for index in TILES]
    size = (TINY_PX, TINY_PX)
    return [_jpeg(cv2.resize(tile, size, interpolation=cv2.INTER_CUBIC)) for tile in tiles]  # type: ignore[arg-type]


def photos(data: Path) -> list[bytes]:
    """Return 640x480 JPEGs of one person each: photographs, scaled to fill and cut to size."""
    return [_jpeg(_filled(cv2.imread(str(data / "photos" / f"{name}.jpg")))) for name in PHOTOS]  # type: ignore[arg-type]


def _filled(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    scale = max(PICTURE_PX[0] / width, PICTURE_PX[1] / height)
    size = (round(width * scale), round(height * scale))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - PICTURE_PX[0]) // 2, (size[1] - PICTURE_PX[1]) // 2
    return np.asarray(scaled[top : top + PICTURE_PX[1], left : left + PICTURE_PX[0]], np.uint8)


def sounds(data: Path) -> list[bytes]:
    """Return WAVs of 3 s at 16 kHz: sentences of four actors."""
    actors = sorted((data / "ravdess" / "flac").iterdir())[:BODIES]
    return [_wav(sorted(actor.glob("*.flac"))[0].read_bytes()) for actor in actors]


def _wav(flac: bytes) -> bytes:
    samples = decode_sound(flac, LocalDecoder(), Limits())[: round(SPEECH_S * RATE_HZ)]
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return target.getvalue()


def sentences(data: Path) -> list[bytes]:
    """Return utterances of MELD with `WORDS` words."""
    with (data / "meld" / "dev_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["Utterance"] for row in islice(csv.DictReader(file), 500)]
    return [next(row for row in rows if len(row.split()) == count).encode() for count in WORDS]


def moments(data: Path) -> list[bytes]:
    """Return a photograph, a sound and a sentence of one moment, joined."""
    parts = (photos(data), sounds(data), sentences(data))
    return [joined(moment) for moment in zip(*parts, strict=True)]


KINDS: Mapping[str, tuple[str, str, Callable[[Path], list[bytes]]]] = {
    "face-tiny": ("face", "64x64 JPEG of one face, detection included", tiny_faces),
    "face-640": ("face", "640x480 JPEG with one face, detection included", photos),
    "speech": ("speech", "3 s of speech, WAV, 16 kHz", sounds),
    "text": ("text", "a sentence of 4 to 20 words", sentences),
    "emotion": ("emotion", "640x480 JPEG, 3 s of speech and a sentence, fused", moments),
}
