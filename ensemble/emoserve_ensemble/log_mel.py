"""Sound to the speech network's input: version `log_mel_v1`.

`log_mel` is the usual log-mel spectrogram, in decibels. `windows` sets it to the level of the
stretch of sound it comes from and cuts it into windows of 3 s. The level is taken out on purpose:
how far the microphone stood must not decide the emotion. What stays is the shape of the voice and
how its loudness moves.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from emoserve_ensemble.arrays import Floats

VERSION: Final = "log_mel_v1"
RATE_HZ: Final = 16_000
HOP_SAMPLES: Final = 160
WINDOW_SAMPLES: Final = 400
FFT_SAMPLES: Final = 512
MELS: Final = 64
LOW_HZ: Final = 50.0
HIGH_HZ: Final = 8_000.0
FRAMES: Final = 300
"""Frames in a window of the network: 3 s."""
WINDOW_HOP_FRAMES: Final = 150
FLOOR_DB: Final = -60.0
"""Silence: the least value in the network's input, in decibels below the level."""
LEAST_LEVEL_DB: Final = -70.0
"""Quieter stretches are not lifted further: digital silence stays silence."""

_LOUD_SHARE: Final = 0.2
_LEAST_POWER: Final = np.float32(1e-12)
_NEPER_POWER: Final = np.float32(np.log(10) / 10)  # a decibel of power, to the base e
_BLOCK_FRAMES: Final = 4_000


@dataclass(frozen=True)
class SpeechWindows:
    """Windows of the network's input.

    Attributes:
        log_mel: float32 [windows, 64, 300], decibels from the level of the sound, -60 or more.
        times: float32 [windows, 2], start and end in seconds from the start of the sound.
    """

    log_mel: Floats
    times: Floats

    def __len__(self) -> int:
        return len(self.log_mel)


def log_mel(samples: Floats) -> Floats:
    """Return float32 [64, frames], decibels of mel band power; frames = 1 + samples // 160.

    Frame t is centred on sample 160 t, with zeros before the start and after the end. Hann window
    of 400 samples, 512-point transform, 64 Slaney mel bands from 50 to 8000 Hz, each with area 1:
    `librosa.feature.melspectrogram` with these settings, then 10 log10.

    Args:
        samples: float32 [samples], mono PCM in [-1, 1], 16 000 Hz.

    Raises:
        ValueError: not one axis, or no samples.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError(f"samples are {list(samples.shape)}; [samples], at least one, is accepted")
    side = FFT_SAMPLES // 2
    padded = np.pad(samples.astype(np.float32), side)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES]
    power = np.concatenate(
        [
            _power(frames[start : start + _BLOCK_FRAMES] * _hann()) @ mel_bands().T
            for start in range(0, len(frames), _BLOCK_FRAMES)
        ]
    )  # [frames, 64]
    # In float32 numpy computes the natural logarithm four values at a time, `log10` one.
    return np.ascontiguousarray((np.log(np.maximum(power, _LEAST_POWER)) / _NEPER_POWER).T)


def _power(frames: Floats) -> Floats:
    """Return float32 [frames, 257], the power spectrum of each row of [frames, 512].

    `cv2.dft` computes in float32 and takes a fifth of the time of `numpy.fft.rfft`, which
    computes in float64. It gives the real part of 0, then real and imaginary parts in turn, then
    the real part of 256.
    """
    squares = np.square(cv2.dft(np.ascontiguousarray(frames), flags=cv2.DFT_ROWS))
    power = np.empty((len(squares), FFT_SAMPLES // 2 + 1), np.float32)
    power[:, 0], power[:, -1] = squares[:, 0], squares[:, -1]
    np.add(squares[:, 1:-1:2], squares[:, 2:-1:2], out=power[:, 1:-1])
    return power


def windows(samples: Floats) -> SpeechWindows:
    """Return the sound as windows of 3 s for the speech network.

    One window where the sound is 3 s or shorter: it starts with the sound, and silence fills the
    rest. Else windows that overlap by half or more, spread evenly, the last ending with the sound.

    Args:
        samples: float32 [samples], mono PCM in [-1, 1], 16 000 Hz; one utterance, or a clip.

    Raises:
        ValueError: not one axis, or no samples.
    """
    levelled = set_level(log_mel(samples))
    frames = levelled.shape[1]
    count = 1 + max(0, -(-(frames - 1 - FRAMES) // WINDOW_HOP_FRAMES))
    starts = np.round(np.linspace(0, max(0, frames - 1 - FRAMES), count)).astype(int)
    cut = np.full((count, MELS, FRAMES), FLOOR_DB, np.float32)
    for row, start in enumerate(starts):
        piece = levelled[:, start : start + FRAMES]
        cut[row, :, : piece.shape[1]] = piece
    duration = samples.size / RATE_HZ
    begin = starts * HOP_SAMPLES / RATE_HZ
    end = np.minimum(begin + FRAMES * HOP_SAMPLES / RATE_HZ, duration)
    end[-1] = duration
    return SpeechWindows(cut, np.stack([begin, end], axis=1).astype(np.float32))


def set_level(decibels: Floats) -> Floats:
    """Return float32 [64, frames], decibels from the level of the sound, -60 or more.

    The level is the mean band power of the loudest fifth of the frames (speech, even where half
    of the sound is pauses), but never less than -70 dB.

    Args:
        decibels: float32 [64, frames], from `log_mel`.
    """
    power = np.mean(np.exp(decibels * _NEPER_POWER), axis=0)  # [frames]
    loudest = np.sort(power)[-max(1, round(len(power) * _LOUD_SHARE)) :]
    level = max(LEAST_LEVEL_DB, 10 * np.log10(max(float(loudest.mean()), float(_LEAST_POWER))))
    return np.maximum(decibels - np.float32(level), np.float32(FLOOR_DB)).astype(np.float32)


@lru_cache(maxsize=1)
def mel_bands() -> Floats:
    """Return float32 [64, 257]: triangles on Slaney's mel scale, each with area 1 (in Hz)."""
    edges = _hertz(np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), MELS + 2))  # [66]
    bins = np.linspace(0, RATE_HZ / 2, FFT_SAMPLES // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low), np.float32)


@lru_cache(maxsize=1)
def _hann() -> Floats:
    """Return float32 [512]: a periodic Hann window of 400 samples with zeros about it."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)
    side = (FFT_SAMPLES - WINDOW_SAMPLES) // 2
    return np.pad(window, side).astype(np.float32)


# Slaney's Auditory Toolbox (1998): linear to 1000 Hz, 15 mels; then 27 steps for a factor of 6.4.
_STEP: Final = np.log(6.4) / 27.0


def _mel(hertz: float) -> float:
    linear = hertz * 3 / 200
    return linear if hertz < 1000 else 15.0 + float(np.log(hertz / 1000) / _STEP)


def _hertz(
    mels: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.where(mels < 15.0, mels * 200 / 3, 1000 * np.exp(_STEP * (mels - 15.0)))
