"""Random changes of one recording's log-mel spectrogram, in the domain of band powers.

What a microphone, a room, a line and a segmenter do to speech can be said in mel bands well
enough: a random cut, speed and vocal tract, echo, the telephone's band, the colour of the
microphone, noise; then SpecAugment's masks (Park et al. 2019, arXiv:1904.08779).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoserve_ensemble.log_mel import FLOOR_DB, FRAMES, MELS, set_level

Array = NDArray[np.float32]
_SPEECH_DB = -35.0
_DISTORTED_SHARE = 0.4
"""Of the recordings. With all distorted, 17 epochs gave recall 0.39; with none, 5 gave 0.49."""


def speech_span(decibels: Array) -> tuple[int, int]:
    """Returns the first frame of speech and the one after the last: within 35 dB of the level."""
    power = np.mean(10 ** (set_level(decibels) / 10), axis=0)
    loud = np.flatnonzero(power > 10 ** (_SPEECH_DB / 10))
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, decibels.shape[1])


def augment_speech(decibels: Array, rng: np.random.Generator) -> Array:
    """Returns float32 [64, 300], decibels from the level, ready for the network.

    Args:
        decibels: float32 [64, frames], from `log_mel`.
        rng: draws everything.
    """
    x = _warped(_cut(decibels, rng), rng)
    if rng.random() < _DISTORTED_SHARE:
        x = _distorted(x, rng)
    x = set_level(x)
    x = np.maximum(x + np.float32(rng.uniform(-3, 3)), np.float32(FLOOR_DB))
    return _masked(_placed(x, rng), rng)


def _distorted(x: Array, rng: np.random.Generator) -> Array:
    """Returns the recording through another room, microphone or line."""
    power = 10 ** (x / 10)
    if rng.random() < 0.4:
        power = _echoed(power, rng)
    power = power * 10 ** (_colour(rng) / 10)
    if rng.random() < 0.7:
        power = power + _noise(power, rng)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), np.float32)


def _cut(x: Array, rng: np.random.Generator) -> Array:
    """Half of the time as a segmenter cuts it, else with some of the silence about it."""
    first, last = speech_span(x)
    if rng.random() < 0.5:
        first, last = first - rng.integers(-5, 25), last + rng.integers(-5, 25)
    else:
        first, last = rng.integers(0, first + 1), rng.integers(last, x.shape[1] + 1)
    return x[:, max(0, first) : max(first + 20, last)]


def _warped(x: Array, rng: np.random.Generator) -> Array:
    """Faster or slower by up to 10 %; formants and pitch moved by up to 2 bands."""
    frames = max(10, round(x.shape[1] * rng.uniform(0.9, 1.1)))
    at = np.linspace(0, x.shape[1] - 1, frames)
    low = np.minimum(at.astype(int), x.shape[1] - 2)
    share = (at - low).astype(np.float32)
    x = x[:, low] * (1 - share) + x[:, low + 1] * share
    band = np.clip(np.arange(MELS) * rng.uniform(0.98, 1.02) + rng.uniform(-1, 1), 0, MELS - 1)
    low = np.minimum(band.astype(int), MELS - 2)
    share = (band - low).astype(np.float32)[:, None]
    return np.asarray(x[low] * (1 - share) + x[low + 1] * share, np.float32)


def _echoed(power: Array, rng: np.random.Generator) -> Array:
    """Each frame's power decays into those after it: 60 dB in 0.15 to 0.7 s, at -3 to -15 dB."""
    decay_frames = rng.uniform(15, 70)
    length = int(decay_frames)
    tail = 10 ** (-6 * np.arange(1, length + 1) / decay_frames)
    tail *= 10 ** (rng.uniform(-15, -3) / 10) / tail.sum()
    kernel = np.concatenate([[1.0], tail])
    size = power.shape[1] + length
    spectrum = np.fft.rfft(power, size, axis=1) * np.fft.rfft(kernel, size)
    return np.maximum(np.fft.irfft(spectrum, size, axis=1), 0).astype(np.float32)[
        :, : power.shape[1]
    ]


def _colour(rng: np.random.Generator) -> Array:
    """Returns decibels [64, 1]: a smooth tilt, and sometimes the telephone's 300 to 3400 Hz."""
    knots = rng.normal(0, 2, 6)
    curve = np.interp(np.linspace(0, 5, MELS), np.arange(6), knots)
    if rng.random() < 0.3:
        low, high = rng.integers(3, 8), rng.integers(38, 46)  # bands near 300 and 3400 Hz
        curve[:low] -= rng.uniform(10, 40)
        curve[high:] -= rng.uniform(30, 60)
    return curve.astype(np.float32)[:, None]


def _noise(power: Array, rng: np.random.Generator) -> Array:
    """Returns the power of steady or babbling noise, 5 to 45 dB below the speech."""
    level = np.sort(power.mean(axis=0))[-max(1, power.shape[1] // 5) :].mean()
    slope = 10 ** (np.linspace(0, rng.uniform(-25, 5), MELS) / 10)
    flicker = rng.gamma(3.0, 1 / 3.0, power.shape)  # chi-square bins, averaged in a band
    noise = slope[:, None] * flicker
    return np.asarray(noise / noise.mean() * level * 10 ** (-rng.uniform(5, 45) / 10), np.float32)


def _placed(x: Array, rng: np.random.Generator) -> Array:
    """A window that starts with the sound, or a random one where there is more than 3 s."""
    placed = np.full((MELS, FRAMES), FLOOR_DB, np.float32)
    start = rng.integers(0, max(0, x.shape[1] - FRAMES) + 1)
    piece = x[:, start : start + FRAMES]
    placed[:, : piece.shape[1]] = piece
    return placed


def _masked(x: Array, rng: np.random.Generator) -> Array:
    """Hides up to 8 bands, and up to 0.2 s."""
    width, start = rng.integers(0, 9), rng.integers(0, MELS)
    x[start : start + width] = FLOOR_DB
    width, start = rng.integers(0, 20), rng.integers(0, FRAMES)
    x[:, start : start + width] = FLOOR_DB
    return x
