"""Words are recognised beside the other work: in order, bounded, and not longer than wanted."""

import threading

import numpy as np
import pytest

from emoserve_ensemble.dictation import MOST_AHEAD, Dictation, awaited, known
from emoserve_ensemble.errors import CallerGoneError, never
from emoserve_ensemble.transcription import Word

PATIENCE_S = 60.0


class Slow:
    """Recognises how long the sound is, once it is let to; sees that nobody waits."""

    name = "slow"

    def __init__(self, ways: int = 1) -> None:
        self.ways = ways
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def words(self, samples, cancelled=never) -> list[Word]:
        self.begun.release()
        while not self.go.wait(0.01):
            if cancelled():
                raise CallerGoneError
        if not len(samples):
            raise RuntimeError("no sound")
        return [Word(word, 0.0, 1.0) for word in ("samples:", str(len(samples)))]


def sound(length: int) -> np.ndarray:
    return np.zeros(length, np.float32)


def test_words_come_later_and_in_order() -> None:
    recogniser = Slow()
    with Dictation(recogniser) as dictation:
        said = [dictation.begin(sound(length), never) for length in (3, 1, 2)]
        assert not any(each.done() for each in said)
        recogniser.go.set()
        answers = [awaited(each, never) for each in said]
    assert [answer.words for answer in answers] == ["samples: 3", "samples: 1", "samples: 2"]
    assert {answer.source for answer in answers} == {"slow"}


def test_no_more_sound_waits_than_is_allowed() -> None:
    recogniser = Slow()
    asked = threading.Semaphore(0)

    def impatient() -> bool:
        asked.release()
        return True

    with Dictation(recogniser) as dictation:
        for _ in range(MOST_AHEAD):
            dictation.begin(sound(1), impatient)
        assert not asked.acquire(blocking=False)
        with pytest.raises(CallerGoneError):
            dictation.begin(sound(1), impatient)


def test_who_leaves_stops_the_recogniser() -> None:
    recogniser = Slow()
    with Dictation(recogniser) as dictation:
        first, second = (dictation.begin(sound(1), never) for _ in range(2))
        assert recogniser.begun.acquire(timeout=PATIENCE_S)
        with pytest.raises(CallerGoneError):
            awaited(first, lambda: True)
    assert isinstance(first.exception(PATIENCE_S), CallerGoneError)
    assert second.cancelled()


def test_several_utterances_are_recognised_at_once_where_the_recogniser_can() -> None:
    recogniser = Slow(ways=2)
    with Dictation(recogniser) as dictation:
        said = [dictation.begin(sound(length), never) for length in (3, 1, 2)]
        for _ in range(2):
            assert recogniser.begun.acquire(timeout=PATIENCE_S)
        assert not recogniser.begun.acquire(timeout=0.1)  # the third waits for one of them
        recogniser.go.set()
        answers = [awaited(each, never).words for each in said]
    assert answers == ["samples: 3", "samples: 1", "samples: 2"]


def test_a_failure_is_told_to_who_waits_for_the_words() -> None:
    recogniser = Slow()
    recogniser.go.set()
    with Dictation(recogniser) as dictation:
        bad, good = dictation.begin(sound(0), never), dictation.begin(sound(5), never)
        with pytest.raises(RuntimeError, match="no sound"):
            awaited(bad, never)
        assert awaited(good, never).words == "samples: 5"


def test_words_that_are_given_need_no_waiting() -> None:
    assert awaited(known("hello"), lambda: True).words == "hello"
    assert awaited(known(""), never).source == "given"
