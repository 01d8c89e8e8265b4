import numpy as np
import pytest

from emoserve_ensemble.labels import EMOTIONS
from emoserve_ensemble.persons import Tracker, overlaps
from emoserve_ensemble.timeline import Timeline, dominant


def felt(label: str, confidence: float = 0.9) -> np.ndarray:
    rest = (1 - confidence) / 6
    return np.asarray([confidence if name == label else rest for name in EMOTIONS], np.float32)


def box(left: float, side: float = 100.0) -> np.ndarray:
    return np.asarray([left, 50, left + side, 50 + side], np.float32)


def test_overlap_is_intersection_over_union() -> None:
    assert overlaps(box(0)[None], np.stack([box(0), box(50), box(200)]))[0] == pytest.approx(
        [1.0, 1 / 3, 0.0]
    )


def test_two_people_who_move_keep_their_numbers_whatever_their_order() -> None:
    tracker = Tracker(0.4)
    emotion = np.stack([felt("joy"), felt("anger")])
    assert tracker.number(0.0, np.stack([box(0), box(300)]), emotion) == [1, 2]
    assert tracker.number(0.5, np.stack([box(280), box(20)]), emotion[::-1]) == [2, 1]
    assert tracker.number(1.0, np.stack([box(40)]), emotion[:1]) == [1]
    first, second = tracker.persons
    assert (first.frames, second.frames) == (3, 2)
    assert dominant(first.emotion, 0.4) == "joy"
    assert dominant(second.emotion, 0.4) == "anger"


def test_who_is_gone_too_long_is_somebody_new() -> None:
    tracker = Tracker(0.4)
    tracker.number(0.0, box(0)[None], felt("joy")[None])
    assert tracker.number(1.9, box(0)[None], felt("joy")[None]) == [1]
    assert tracker.number(4.0, box(0)[None], felt("joy")[None]) == [2]


def test_a_single_frame_does_not_flip_the_timeline() -> None:
    timeline = Timeline(0.4)
    labels = ["joy"] * 4 + ["anger"] + ["joy"] * 4
    named = [timeline.add(index * 0.5, felt(label)) for index, label in enumerate(labels)]
    assert set(named) == {"joy"}
    assert [(s.start_s, s.end_s, s.label) for s in timeline.segments] == [(0.0, 4.0, "joy")]


def test_a_lasting_change_shows() -> None:
    timeline = Timeline(0.4)
    for index in range(12):
        timeline.add(index * 0.5, felt("joy" if index < 6 else "anger"))
    assert [segment.label for segment in timeline.segments] == ["joy", "anger"]


def test_below_the_threshold_is_uncertain() -> None:
    assert dominant(felt("joy", 0.39), 0.4) == "uncertain"
    assert dominant(felt("joy", 0.41), 0.4) == "joy"
