"""One suite for the pipelines, on the fake and on a real Triton with the real networks.

What holds here holds for both, so a caller's tests on the fake mean something.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from emoserve_client import (
    EMOTIONS,
    SENTIMENTS,
    FaceAnalysis,
    InputError,
    ModelNotFoundError,
    Scores,
    Utterance,
)
from emoserve_client.testing import FakeServer
from emoserve_export import golden_media

PICTURE = golden_media.png(golden_media.face_picture())
VOICE = golden_media.wav(golden_media.voice())
CLIP = golden_media.clip()
WORDS = "I am so happy to see you again after all these years, my friend!"


@pytest.fixture(params=["fake", "grpc", "http"])
def pipelines(request: pytest.FixtureRequest, way: str, open_client: Callable[..., Any]) -> Any:
    """A client of the fake or of the real server: six of them in turn."""
    if request.param == "fake":
        return open_client(way, "grpc://fake", connector=FakeServer())
    server = request.getfixturevalue("triton")
    return open_client(way, getattr(server, f"{request.param}_url"))


def check(scores: Scores, labels: tuple[str, ...]) -> None:
    """All classes, best first, summing to 1."""
    assert {one.label for one in scores} == set(labels)
    confidences = [one.confidence for one in scores]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1, abs=1e-3)
    assert scores.top is scores[0]
    assert scores.of(scores.top.label) == scores.top.confidence


def test_face(pipelines: Any) -> None:
    found = pipelines.face(PICTURE)
    height, width = golden_media.face_picture().shape[:2]
    assert (found.width, found.height) == (width, height)
    assert len(found) == 1
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert 0 < one.detection <= 1
        assert 0 <= one.quality <= 1
        check(one.emotions, EMOTIONS)
    assert found.models["face_net"].isdigit()


def test_an_array_is_the_picture_that_its_file_is(pipelines: Any) -> None:
    pixels = golden_media.face_picture()
    assert isinstance(pipelines.face(pixels), FaceAnalysis)
    grey = np.ascontiguousarray(pixels[..., 1])
    assert pipelines.face(grey).width == pixels.shape[1]


def test_speech(pipelines: Any) -> None:
    found = pipelines.speech(VOICE)
    assert found.speech
    assert found.duration > 1
    check(found.emotions, EMOTIONS)
    assert [check(one.emotions, EMOTIONS) for one in found.windows]


def test_sound_as_an_array(pipelines: Any) -> None:
    samples = golden_media.voice()
    by_array = pipelines.speech(samples.astype(np.float32), rate_hz=16_000)
    assert by_array.duration == pytest.approx(pipelines.speech(VOICE).duration, abs=0.01)
    stereo = np.stack([samples, samples]).astype(np.float32)
    assert pipelines.speech(stereo, rate_hz=16_000).speech


def test_text(pipelines: Any) -> None:
    found = pipelines.text(WORDS)
    check(found.emotions, EMOTIONS)
    check(found.sentiments, SENTIMENTS)
    assert pipelines.text(WORDS) == found


def test_transcribe(pipelines: Any) -> None:
    found = pipelines.transcribe(VOICE)
    assert found.duration > 1
    assert found.source
    assert all(word.end_time >= word.start_time for one in found.utterances for word in one.words)


@pytest.mark.parametrize(
    "given",
    [
        {"text": WORDS},
        {"images": PICTURE},
        {"images": [PICTURE, golden_media.face_picture()], "audio": VOICE},
        {"images": PICTURE, "audio": VOICE, "text": WORDS},
    ],
    ids=lambda given: "+".join(given),
)
def test_emotion_from_any_of_them(pipelines: Any, given: dict[str, Any]) -> None:
    found = pipelines.emotion(**given)
    check(found.emotions, EMOTIONS)
    check(found.sentiments, SENTIMENTS)
    names = {"images": "face", "audio": "speech", "text": "text"}
    counted = [name for key, name in names.items() if key in given]
    assert list(found.counted) == counted
    assert sum(one.weight for one in found.modalities.values()) == pytest.approx(1, abs=1e-3)
    for name, one in found.modalities.items():
        assert one.present == (name in counted)
        assert (one.reason is None) == one.present
        assert one.present or one.weight == 0


def test_video_is_collected(pipelines: Any) -> None:
    seen: list[Utterance] = []
    found = pipelines.video(CLIP, transcript=WORDS, on_utterance=seen.append)
    assert tuple(seen) == found.utterances
    assert len(found) == found.summary.utterances >= 1
    assert " ".join(one.text for one in found if one.text) == WORDS
    for one in found:
        assert 0 <= one.start_time < one.end_time
        check(one.emotions, EMOTIONS)
        check(one.sentiments, SENTIMENTS)
        assert one.dominant in (*EMOTIONS, "uncertain")
    check(found.summary.emotions, EMOTIONS)
    assert sum(found.summary.counts.values()) == len(found)
    assert set(found.summary.modalities) == {"face", "speech", "text"}
    assert found.models["fusion_net"].isdigit()


def test_video_is_streamed(pipelines: Any) -> None:
    with pipelines.stream_video(CLIP, transcript=WORDS) as stream:
        texts = [one.text for one in stream]
        assert " ".join(filter(None, texts)) == WORDS
        assert stream.summary.utterances == len(texts)


def test_a_stream_that_is_left(pipelines: Any) -> None:
    with pipelines.stream_video(CLIP, transcript=WORDS) as stream:
        for one in stream:
            assert one.text
            break
    assert pipelines.text(WORDS).emotions


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda client: client.face(b""), "empty"),
        (lambda client: client.face("no-such-file.png"), "unreadable"),
        (lambda client: client.face(np.zeros((4, 4, 4), np.uint8)), "unsupported"),
        (lambda client: client.face(3), "unsupported"),
        (lambda client: client.speech(np.zeros(8, np.float32)), "bad_option"),
        (lambda client: client.speech(np.zeros(8), rate_hz=8000), "unsupported"),
        (lambda client: client.text("  "), "empty"),
        (lambda client: client.text(b"bytes"), "unsupported"),
        (lambda client: client.emotion(), "nothing_given"),
        (lambda client: client.emotion(images=[]), "nothing_given"),
        (lambda client: client.video(b""), "empty"),
        (lambda client: client.video(np.zeros(8)), "unsupported"),
    ],
)
def test_what_is_wrong_before_sending(
    pipelines: Any, call: Callable[[Any], Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        call(pipelines)
    assert caught.value.reason == reason
    assert caught.value.attempts == ()


@pytest.mark.parametrize(
    ("call", "reasons"),
    [
        (lambda client: client.face(b"no picture at all"), {"undecodable", "unsupported"}),
        (lambda client: client.speech(b"no sound at all"), {"undecodable", "unsupported"}),
        (lambda client: client.text("word " * 100_000), {"too_long"}),
        (lambda client: client.video(b"no clip at all"), {"undecodable", "unsupported"}),
    ],
)
def test_what_the_server_finds_wrong(
    pipelines: Any, call: Callable[[Any], Any], reasons: set[str]
) -> None:
    with pytest.raises(InputError) as caught:
        call(pipelines)
    assert caught.value.reason in reasons
    assert len(caught.value.attempts) == 1
    assert not caught.value.message.startswith("[")


def test_an_unknown_model(pipelines: Any) -> None:
    with pytest.raises(ModelNotFoundError):
        pipelines.model("nope").infer(x=[1])


def test_a_pipeline_as_a_plain_model(pipelines: Any) -> None:
    reply = pipelines.model("text").infer(text=[[WORDS]], outputs=["answer"])
    assert reply["answer"].shape == (1, 1)
    assert b'"emotions"' in reply["answer"][0, 0]


def test_a_batch_says_which_member_is_wrong(pipelines: Any) -> None:
    reply = pipelines.model("text").infer(text=[[WORDS], [""], [WORDS]], outputs=["answer"])
    first, second, third = (json.loads(one) for one in reply["answer"].reshape(-1))
    assert first == third
    assert first["emotions"]
    assert set(second) == {"error"}
    assert second["error"]["reason"] == "empty"


def test_the_server_is_asked(pipelines: Any) -> None:
    assert pipelines.is_ready()
    assert pipelines.is_ready("video")
    assert not pipelines.is_ready("nope")
    served = {one.name for one in pipelines.models() if one.ready}
    assert {"face", "speech", "text", "emotion", "video", "transcribe"} <= served
    assert pipelines.server().name
