"""The log-mel spectrogram equals librosa's, level does not matter, windows cover the sound."""

import numpy as np
import pytest

from emoserve_ensemble import log_mel as lm

# Bands 0, 5, 10, 30 and 63 of the tone below at 0.5 s, as version 1 gave them in float64.
GOLDEN_BAND = 8
GOLDEN_DB = [-51.5, -21.517, -22.087, -88.589, -120.0]


def tone(seconds: float, hertz: float = 440.0, gain: float = 0.5) -> np.ndarray:
    """A tone whose loudness swells and falls four times a second."""
    time = np.arange(round(seconds * lm.RATE_HZ)) / lm.RATE_HZ
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)
    return (gain * swell * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_equals_librosa_to_float32() -> None:
    librosa = pytest.importorskip("librosa")
    samples = tone(1.7) + np.random.default_rng(1).normal(0, 0.01, 27_200).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=lm.RATE_HZ,
        n_fft=lm.FFT_SAMPLES,
        win_length=lm.WINDOW_SAMPLES,
        hop_length=lm.HOP_SAMPLES,
        n_mels=lm.MELS,
        fmin=lm.LOW_HZ,
        fmax=lm.HIGH_HZ,
        pad_mode="constant",
    )
    ours = lm.log_mel(samples)
    assert ours.shape == power.shape == (64, 1 + samples.size // 160)
    # A float32 transform rounds to the loudest amplitude of a frame, and differently on each
    # processor (OPENCV_IPP=sse42, avx2, avx512, disabled: 2e-7 to 3e-7 of that amplitude).
    amplitude = np.sqrt(power)
    error = np.abs(10 ** (ours / 20) - amplitude) / amplitude.max(axis=0)
    assert float(error.max()) < 5e-7


def test_golden_values_of_a_tone() -> None:
    spectrum = lm.log_mel(tone(1.0))
    assert spectrum.shape == (64, 101)
    assert int(spectrum[:, 50].argmax()) == GOLDEN_BAND
    # Band 30 is 67 dB below the loudest: float32 is 0.001 to 0.003 dB off there.
    np.testing.assert_allclose(spectrum[[0, 5, 10, 30, 63], 50], GOLDEN_DB, atol=0.01)


def test_a_quiet_recording_gives_the_same_windows() -> None:
    loud, quiet = lm.windows(tone(2.0)), lm.windows(tone(2.0, gain=0.5 * 10 ** (-35 / 20)))
    np.testing.assert_allclose(loud.log_mel, quiet.log_mel, atol=2e-3)


def test_digital_silence_is_not_lifted() -> None:
    found = lm.windows(np.zeros(16_000, np.float32))
    assert float(found.log_mel[0, :, :100].max()) == pytest.approx(-50.0)
    assert float(found.log_mel[0, :, 110:].max()) == lm.FLOOR_DB


def test_a_short_sound_is_followed_by_silence() -> None:
    found = lm.windows(tone(0.5))
    assert found.log_mel.shape == (1, 64, 300)
    assert found.log_mel.dtype == np.float32
    assert float(found.log_mel[0, :, :51].max()) > 10
    np.testing.assert_array_equal(found.log_mel[0, :, 51:], lm.FLOOR_DB)
    np.testing.assert_allclose(found.times, [[0, 0.5]])


def test_windows_overlap_by_half_or_more_and_end_with_the_sound() -> None:
    samples = tone(7.0)
    found = lm.windows(samples)
    np.testing.assert_allclose(found.times[:, 0], [0, 1.33, 2.67, 4.0], atol=1e-6)
    assert float(found.times[-1, 1]) == 7.0
    whole = lm.set_level(lm.log_mel(samples))
    np.testing.assert_array_equal(found.log_mel[1], whole[:, 133:433])


@pytest.mark.parametrize("size", [1, 159, 400, 48_000, 48_001, 48_160, 500_000])
def test_any_length_is_covered(size: int) -> None:
    found = lm.windows(np.full(size, 0.1, np.float32))
    assert found.log_mel.shape[1:] == (64, 300)
    assert len(found) == len(found.times)
    assert float(found.times[0, 0]) == 0.0
    assert float(found.times[-1, 1]) == pytest.approx(size / 16_000, rel=1e-6)
    assert bool(np.all(found.times[1:, 0] <= found.times[:-1, 1]))  # no gap


def test_a_long_sound_is_worked_through_in_blocks() -> None:
    samples = tone(45.0)
    np.testing.assert_allclose(
        lm.log_mel(samples)[:, 4_100:4_200], lm.log_mel(samples[640_000:])[:, 100:200], atol=1e-3
    )


@pytest.mark.parametrize("samples", [np.zeros((2, 100), np.float32), np.zeros(0, np.float32)])
def test_says_what_is_accepted(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least one, is accepted"):
        lm.windows(samples)
