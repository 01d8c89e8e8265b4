"""What a decoded clip consists of, without the libraries that decode (`media_reader.py`)."""

from dataclasses import dataclass
from typing import TypeAlias

from emoserve_ensemble.arrays import Floats, Pixels

RATE_HZ = 16_000  # what the speech network, the voice detector and the recogniser were trained on


@dataclass(frozen=True)
class Sound:
    """A stretch of sound: float32 [samples], mono PCM in [-1, 1], 16 000 Hz."""

    start_s: float
    samples: Floats


@dataclass(frozen=True)
class Frame:
    """One sampled picture: uint8 [height, width, 3], RGB, upright."""

    time_s: float
    pixels: Pixels


MediaEvent: TypeAlias = Sound | Frame


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are looked at.

    Attributes:
        frame_rate_hz: how many frames a second; 0 for none.
        max_side_px: sampled frames are shrunk to this.
        scenes: also the first frame of each scene: one that differs from the frame before by over
            `media_reader.SCENE_CHANGE` grey levels in the mean.
    """

    frame_rate_hz: float = 0.0
    max_side_px: int = 640
    scenes: bool = False


@dataclass(frozen=True)
class MediaInfo:
    """What a container says it holds. `duration_s` is None where the header does not tell."""

    has_sound: bool
    has_pictures: bool
    duration_s: float | None
