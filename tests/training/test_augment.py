"""Changed faces and voices stay in range, differ, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import torch

from emoserve_ensemble.log_mel import FLOOR_DB, log_mel
from emoserve_training.face_augment import augment_faces
from emoserve_training.speech_augment import augment_speech, speech_span


def test_faces() -> None:
    faces = torch.rand(64, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    one = augment_faces(faces, torch.Generator().manual_seed(1))
    again = augment_faces(faces, torch.Generator().manual_seed(1))
    other = augment_faces(faces, torch.Generator().manual_seed(2))
    assert one.shape == faces.shape
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert bool(torch.isfinite(one).all())
    assert float(one.min()) > -0.3
    assert float(one.max()) < 1.3


def voice() -> np.ndarray:
    """A second of a swelling tone with a second of near silence before and after it."""
    time = np.arange(16_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 220 * time) * (1 + 0.5 * np.sin(2 * np.pi * 5 * time))
    hiss = np.random.default_rng(0).normal(0, 1e-4, 16_000)
    return log_mel(np.concatenate([hiss, tone, hiss]).astype(np.float32))


def test_the_span_of_speech() -> None:
    first, last = speech_span(voice())
    assert abs(first - 100) <= 2
    assert abs(last - 200) <= 3


def test_voices() -> None:
    decibels = voice()
    kept = decibels.copy()
    for seed in range(40):
        found = augment_speech(decibels, np.random.default_rng(seed))
        assert found.shape == (64, 300)
        assert found.dtype == np.float32
        assert float(found.min()) >= FLOOR_DB
        assert -20 < float(found.max()) < 40
    np.testing.assert_array_equal(decibels, kept)  # the recording itself is not changed
    np.testing.assert_array_equal(
        augment_speech(decibels, np.random.default_rng(3)),
        augment_speech(decibels, np.random.default_rng(3)),
    )
