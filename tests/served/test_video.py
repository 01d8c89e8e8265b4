"""Clips through a real Triton: the stream, its end, its errors, and callers who go away."""

import time

import pytest

from emoserve_client import EmotionClient, InputError
from emoserve_export import golden_media


@pytest.fixture(scope="module")
def clip() -> bytes:
    return golden_media.clip()


def test_a_clip_becomes_utterances_and_a_summary(client: EmotionClient, clip) -> None:
    analysis = client.video(clip, transcript="I am so happy to see you.")
    assert len(analysis.utterances) >= 1
    words = " ".join(utterance.text for utterance in analysis.utterances)
    assert words == "I am so happy to see you."
    assert analysis.summary.utterances == len(analysis.utterances)
    for utterance in analysis.utterances:
        assert 0 <= utterance.start_time < utterance.end_time <= analysis.summary.duration + 0.2
        assert utterance.modalities["face"].present
        assert utterance.modalities["text"].present
    assert set(analysis.models) >= {"face_net", "speech_net", "text_net", "fusion_net"}


def test_timed_subtitles_make_the_utterances(client: EmotionClient, clip) -> None:
    subtitles = "00:00.200 --> 00:00.900\nHello.\n\n00:01.000 --> 00:01.500\nGo away!\n"
    analysis = client.video(clip, transcript=subtitles)
    assert [(u.start_time, u.end_time, u.text) for u in analysis.utterances] == [
        (0.2, 0.9, "Hello."),
        (1.0, 1.5, "Go away!"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_rate": 2}, "options \\['frame_rate'\\]; known are"),
        ({"frame_rate_hz": 1000}, "frame_rate_hz is 1000; 0.0 to 60.0"),
        ({"transcribe": "no"}, "true or false"),
    ],
)
def test_a_wrong_option_is_named(client: EmotionClient, clip, options, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        client.video(clip, options=options)
    assert caught.value.reason == "bad_option"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"just text, renamed to mp4", "unsupported"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(100), "undecodable"),
        (golden_media.wav(golden_media.voice() * 0), "nothing_to_analyze"),
    ],
)
def test_what_cannot_be_analysed_says_why(client: EmotionClient, data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        client.video(data)
    assert caught.value.reason == reason


def test_every_real_clip_is_answered(grpc_client: EmotionClient, data) -> None:
    counted = {}
    for path in sorted((data / "clips").glob("*.m[op]*")):
        try:
            summary = grpc_client.video(path, options={"transcribe": False}).summary
            counted[path.name] = {name for name, count in summary.modalities.items() if count}
        except InputError as error:
            counted[path.name] = {error.reason}
    assert counted["pyfeat_no_face.mp4"] == {"nothing_to_analyze"}
    assert counted["gigindia_sampleVideo3.mp4"] == {"face"}
    assert counted["pyfeat_face_noface.mov"] == {"face"}
    spoken = [name for name in counted if name.startswith(("grid", "retalk"))]
    assert len(spoken) == 8
    for name in spoken:
        assert counted[name] == {"face", "speech"}, name


def test_two_persons_are_told_apart(grpc_client: EmotionClient, data) -> None:
    clip = data / "clips" / "hamilton_short.mp4"
    options = {"transcribe": False, "frames": True}
    answers = list(
        grpc_client.model("video").stream(media=[clip.read_bytes()], options=options_of(options))
    )
    import json

    messages = [json.loads(answer["answer"][0]) for answer in answers]
    persons = messages[-1]["summary"]["persons"]
    assert len(persons) >= 3
    assert [person["person"] for person in persons] == list(range(1, len(persons) + 1))
    frames = [frame for message in messages[:-1] for frame in message["utterance"]["frames"]]
    assert max(len(frame["faces"]) for frame in frames) >= 2
    for person in persons:
        assert person["timeline"][0]["start_time"] == person["start_time"]
        assert person["timeline"][-1]["end_time"] == person["end_time"]


def options_of(options: dict) -> list[bytes]:
    import json

    return [json.dumps(options).encode()]


def test_the_first_utterance_comes_before_the_rest_is_done(
    grpc_client: EmotionClient, data
) -> None:
    sound = data / "clips" / "audio" / "gigindia_audioSample_1.wav"
    started = time.monotonic()
    first_s = None
    with grpc_client.stream_video(sound) as stream:
        for _ in stream:
            first_s = first_s or time.monotonic() - started
    total_s = time.monotonic() - started
    assert stream.summary.utterances == 10
    # A share, not a time: of ten utterances the first is there in the first half.
    assert first_s is not None
    assert first_s < total_s / 2


def test_who_goes_away_frees_the_server(grpc_client: EmotionClient, data, clip) -> None:
    sound = data / "clips" / "audio" / "gigindia_audioSample_1.wav"
    for _ in range(4):  # more than there are instances
        with grpc_client.stream_video(sound) as stream:
            next(iter(stream))
    assert grpc_client.video(clip, transcript="still here").summary.utterances >= 1
