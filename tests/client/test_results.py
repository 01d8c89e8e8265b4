"""Results: plain data and back, readable, strict about what a server may say."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from emoserve_client import (
    EmoserveError,
    InputError,
    Modality,
    OverloadedError,
    Score,
    Scores,
    VideoAnalysis,
    WrongAnswerError,
    _answers,
    errors,
)
from emoserve_client._reports.records import Record, from_line
from emoserve_client.testing import FakeServer

CLIP = b"\x1aE\xdf\xa3 a clip"


@pytest.fixture(scope="module")
def video() -> VideoAnalysis:
    return FakeServer().client(hooks=[]).video(CLIP, transcript="so good to see you my friend")


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """One answer of each pipeline."""
    client = FakeServer().client(hooks=[])
    return {
        "face": client.face(b"\xff\xd8\xff"),
        "speech": client.speech(b"fLaC"),
        "text": client.text("hello"),
        "transcript": client.transcribe(b"fLaC"),
        "emotion": client.emotion(text="hello", audio=b"fLaC"),
    }


def test_an_answer_as_plain_data_is_what_the_server_said(answers: dict[str, Any]) -> None:
    for name, answer in answers.items():
        read = getattr(_answers, name)
        assert read(json.loads(answer.to_json())) == answer
        assert answer.to_dict() == json.loads(answer.to_json(indent=2))


def test_results_are_frozen_and_travel(answers: dict[str, Any], video: VideoAnalysis) -> None:
    for one in (*answers.values(), video):
        assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - made here
        assert copy.deepcopy(one) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        video.summary.duration = 3.0  # type: ignore[misc]


def test_a_video_has_the_form_of_the_contract(video: VideoAnalysis) -> None:
    document = Record("clip.mp4", "video", 8, video).document()
    assert list(document) == ["file", "analysis", "models"]
    assert list(document["analysis"]) == ["utterances", "summary"]
    first = document["analysis"]["utterances"][0]
    assert list(first)[:3] == ["start_time", "end_time", "text"]
    assert set(first) >= {"emotions", "sentiments", "modalities"}
    assert set(first["emotions"][0]) == {"label", "confidence"}
    assert "reason" not in first["modalities"]["face"]
    assert from_line(Record("clip.mp4", "video", 8, video).line()).analysis == video


def test_scores() -> None:
    scores = Scores([Score("joy", 0.75), Score("fear", 0.25)])
    assert repr(scores) == "(joy 0.75, fear 0.25)"
    assert scores.of("fear") == 0.25
    with pytest.raises(KeyError, match="no class 'rage'; there are: joy, fear"):
        scores.of("rage")


def test_a_modality_says_only_what_it_knows() -> None:
    absent = Modality(present=False, weight=0.0, reason="no face")
    assert absent.to_dict() == {"present": False, "weight": 0.0, "reason": "no face"}


def test_frames(answers: dict[str, Any], video: VideoAnalysis) -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    frame = video.to_frame()
    assert len(frame) == 2
    assert frame["text"].tolist() == ["so good to see", "you my friend"]
    assert frame.filter(like="emotion_").iloc[:, :7].sum(axis=1).tolist() == pytest.approx([1, 1])
    assert frame["face_weight"].sum() == pytest.approx(2 / 3)
    assert answers["face"].to_frame()[["left", "top", "right", "bottom"]].shape == (1, 4)
    assert answers["text"].to_frame()["emotion"].tolist() == [answers["text"].emotions.top.label]


@pytest.mark.parametrize("width", [80, 140])
def test_tables_fit_and_say_it_all(
    answers: dict[str, Any], video: VideoAnalysis, width: int
) -> None:
    for one in (*answers.values(), video):
        sink = io.StringIO()
        Console(file=sink, width=width).print(one)
        shown = sink.getvalue()
        assert max(map(len, shown.splitlines())) <= width
        if hasattr(one, "emotions"):
            assert one.emotions.top.label in shown
    assert "so good to see" in shown
    assert "0:00.0–0:02.0" in shown


WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("text", lambda a: a.pop("emotions"), "has no 'emotions'; it has: sentiments, models"),
    ("text", lambda a: a["emotions"].pop(), "emotions names"),
    ("text", lambda a: a["emotions"][0].update(label="rage"), "emotions names"),
    ("text", lambda a: a["emotions"][0].update(confidence=2.0), "sum to"),
    ("text", lambda a: a["emotions"][0].update(confidence=float("nan")), "finite number"),
    ("text", lambda a: a["emotions"][0].update(confidence=True), "finite number"),
    ("text", lambda a: a.update(models=[]), "'models' is .*, expected dict"),
    ("face", lambda a: a["faces"][0].update(box=[1, 2, 3]), "a box is left, top"),
    ("face", lambda a: a.update(width=1.5), "'width' is 1.5, expected int"),
    ("speech", lambda a: a.update(speech="yes"), "expected bool"),
    ("emotion", lambda a: a["modalities"].pop("face"), "has no 'face'"),
    ("emotion", lambda a: a["modalities"]["face"].pop("reason"), "has no 'reason'"),
]


@pytest.mark.parametrize(("name", "spoil", "says"), WRONG)
def test_an_answer_half_right_is_wrong(
    answers: dict[str, Any], name: str, spoil: Callable[[dict[str, Any]], object], says: str
) -> None:
    plain = copy.deepcopy(answers[name].to_dict())
    spoil(plain)
    with pytest.raises(WrongAnswerError, match=says):
        getattr(_answers, name)(plain)


@pytest.mark.parametrize("raw", [b"", b"[]", b"nope", b"\xff"])
def test_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(WrongAnswerError):
        _answers.parse(raw)


def test_a_batch_members_error() -> None:
    with pytest.raises(InputError, match="nothing in it") as caught:
        _answers.parse(b'{"error": {"reason": "empty", "message": "text: nothing in it"}}')
    assert caught.value.reason == "empty"


def test_more_than_expected_is_let_through(answers: dict[str, Any]) -> None:
    plain = answers["text"].to_dict() | {"mood": "sunny"}
    assert _answers.text(plain) == answers["text"]


def test_the_tree_of_errors_is_as_drawn() -> None:
    drawn, above = {}, ["Exception"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"(?:    )([│├└─ ]*)(\w+Error)", line)
        if found:
            depth = len(found[1]) // 4
            above = [*above[: depth + 1], found[2]]
            drawn[found[2]] = above[depth]
    real = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, EmoserveError)
    }
    assert drawn == real


def test_errors_travel_to_other_processes() -> None:
    error = OverloadedError("busy", retry_after_s=2.0, model="text", request_id="7", hint="wait")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert (type(back), str(back), back.retry_after_s) == (OverloadedError, str(error), 2.0)
