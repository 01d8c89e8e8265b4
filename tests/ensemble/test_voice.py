"""Utterances lie inside the sound that they come from."""

import numpy as np
import pytest

from emoserve_ensemble.voice import RATE_HZ, VoiceDetector, find_utterances
from emoserve_export.golden_media import voice


@pytest.mark.parametrize("duration_s", [2.0, 2.5, 2.51])
def test_an_utterance_ends_where_the_sound_ends(networks, duration_s) -> None:
    samples = voice(duration_s)
    last = find_utterances(samples, networks)[-1]
    assert last.end_s == pytest.approx(len(samples) / RATE_HZ)
    assert len(last.samples) == round((last.end_s - last.start_s) * RATE_HZ)
    np.testing.assert_array_equal(last.samples, samples[-len(last.samples) :])


def test_pieces_give_the_same_utterances_as_the_whole(networks) -> None:
    samples = voice(2.51)
    detector = VoiceDetector(networks)
    pieces = np.array_split(samples, 7)
    found = [u for piece in pieces for u in detector.feed(piece)] + [*detector.finish()]
    whole = find_utterances(samples, networks)
    assert [(u.start_s, u.end_s) for u in found] == [(u.start_s, u.end_s) for u in whole]
