"""Sounds of a batch are answered as each would be alone."""

import numpy as np
import pytest

from emoserve_ensemble import speech
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.speech import Windows, analyze_sounds, cut_sounds
from emoserve_ensemble.tools import Tools
from emoserve_export.golden_media import voice


@pytest.fixture
def sounds(wav) -> list[bytes]:
    """Speech of several lengths, among it what cannot be used and what holds none."""
    spoken = [wav(voice(seconds, seed=seed)) for seed, seconds in enumerate((2.5, 4.0, 1.0))]
    return [spoken[0], b"", b"no sound", spoken[1], wav(np.zeros(16_000)), spoken[2]]


@pytest.mark.parametrize("together", [speech.TOGETHER, 40_000, 1])
def test_sounds_of_a_batch_are_cut_as_each_alone(networks, sounds, together, monkeypatch) -> None:
    tools = Tools(networks)
    alone = [cut_sounds([sound], tools)[0] for sound in sounds]
    monkeypatch.setattr(speech, "TOGETHER", together)
    for got, wanted in zip(cut_sounds(sounds, tools), alone, strict=True):
        if isinstance(wanted, InputError):
            assert isinstance(got, InputError)
            assert got.message == wanted.message
        else:
            assert isinstance(got, Windows)
            assert got.duration_s == wanted.duration_s
            np.testing.assert_array_equal(got.spans, wanted.spans)
            np.testing.assert_array_equal(got.log_mel, wanted.log_mel)


def test_no_more_than_one_sound_too_many_waits_decoded(networks, sounds, monkeypatch) -> None:
    waited: list[int] = []
    cut = speech._cut

    def watched(decoded, asked):
        waited.append(sum(map(len, decoded.values())))
        return cut(decoded, asked)

    monkeypatch.setattr(speech, "TOGETHER", 30_000)
    monkeypatch.setattr(speech, "_cut", watched)
    assert len(cut_sounds(sounds, Tools(networks))) == len(sounds)
    assert waited == [40_000, 64_000, 32_000, 0]


def test_answers_keep_the_order_of_sounds(networks, sounds) -> None:
    kinds = [
        None if isinstance(answer, InputError) else len(answer)
        for answer in analyze_sounds(sounds, Tools(networks))
    ]
    assert kinds[1] is None
    assert kinds[2] is None
    assert kinds[4] == 0
    assert kinds[0]
    assert kinds[3]
