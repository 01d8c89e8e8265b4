"""The single pipelines and the inner steps through a real Triton."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from emoserve_client import EmotionClient, InputError
from emoserve_export import golden_media


def column(*values: bytes) -> np.ndarray:
    return np.asarray([[value] for value in values], object)


def test_a_face_in_words_and_in_tensors(client: EmotionClient, media) -> None:
    reply = client.model("face").infer(image=column(media["face"]))
    answer = json.loads(reply["answer"][0, 0])
    assert reply["count"].tolist() == [[1]]
    assert answer["faces"][0]["box"] == pytest.approx(reply["boxes"][0, 0].tolist(), abs=0.06)
    best = answer["faces"][0]["emotions"][0]["confidence"]
    assert best == pytest.approx(float(reply["emotion"][0, 0].max()), abs=1e-4)
    assert reply["embedding"].shape == (1, 1, 128)
    assert set(answer["models"]) == {"face_pnet", "face_rnet", "face_onet", "face_net"}


def test_only_the_outputs_asked_for_are_sent(client: EmotionClient, media) -> None:
    reply = client.model("face").infer({"image": column(media["face"])}, outputs=["count"])
    assert set(reply.outputs) == {"count"}


def test_members_of_a_batch_answer_each_for_itself(client: EmotionClient, media) -> None:
    empty = golden_media.png(np.zeros((64, 64, 3), np.uint8))
    images = column(media["face"], b"", empty, b"\xff\xd8\xffbroken", media["face"])
    reply = client.model("face").infer(image=images)
    answers = [json.loads(answer) for answer in reply["answer"][:, 0]]
    assert [len(answer.get("faces", [])) for answer in answers] == [1, 0, 0, 0, 1]
    assert [answer.get("error", {}).get("reason") for answer in answers] == [
        None,
        "empty",
        None,
        "undecodable",
        None,
    ]
    assert answers[0] == answers[4]


def test_pictures_of_all_sizes_queue_together(grpc_client: EmotionClient, media) -> None:
    """Large ones of a batch are answered before the rest of it is worked off (decision 8)."""
    face = golden_media.face_picture()
    large = golden_media.png(np.tile(face, (3, 4, 1)))  # 960x720, many faces
    images = [media["face"], large, golden_media.png(face[:64, :64]), b"no picture"] * 10

    def answer(image: bytes) -> dict:
        try:
            return json.loads(grpc_client.model("face").infer(image=column(image))["answer"][0, 0])
        except InputError as error:
            return {"reason": error.reason}

    expected = [answer(image) for image in images[:4]]
    found = [len(each.get("faces", [])) for each in expected]
    assert found[0] == 1 < found[1]
    assert expected[3] == {"reason": "unsupported"}
    with ThreadPoolExecutor(40) as pool:
        for index, got in enumerate(pool.map(answer, images)):
            wanted = expected[index % 4]
            assert set(got) == set(wanted)
            boxes = [face["box"] for face in got.get("faces", [])]
            np.testing.assert_allclose(boxes, [f["box"] for f in wanted.get("faces", [])], atol=0.2)


def test_silence_has_no_emotion(client: EmotionClient, media, silence) -> None:
    reply = client.model("speech").infer(audio=column(silence, media["speech"]))
    quiet, spoken = (json.loads(answer) for answer in reply["answer"][:, 0])
    assert (quiet["speech"], quiet["emotions"], quiet["windows"]) == (False, [], [])
    assert spoken["speech"]
    assert len(spoken["emotions"]) == 7
    assert np.isnan(reply["emotion"][0]).all()
    assert np.isfinite(reply["emotion"][1]).all()


def test_long_sound_is_cut_into_windows_that_overlap(client: EmotionClient, data) -> None:
    answer = client.speech(data / "clips" / "audio" / "gigindia_audioSample_1.wav")
    starts = [window.start_time for window in answer.windows]
    assert len(starts) > 10
    assert starts == sorted(starts)
    for window in answer.windows:
        assert 0.2 < window.end_time - window.start_time <= 3.6


@pytest.mark.parametrize(
    "name",
    ["mulaw.wav", "05.mp3", "05.m4a", "05.opus", "48k_stereo.wav", "44100.flac", "alley1.ogg"],
)
def test_every_codec_is_heard(client: EmotionClient, data, name: str) -> None:
    path = next((data / "clips" / "audio").glob(f"*{name}"))
    answer = client.speech(path)
    assert answer.duration > 2
    assert answer.speech == ("alley1" not in name)  # it holds no voice


def test_sentences_do_not_depend_on_their_batch(client: EmotionClient) -> None:
    texts = [b"I hate this!", b"ok", b"What a long and rather neutral sentence about the weather."]
    together = client.model("text").infer(text=column(*texts))
    for row, text in enumerate(texts):
        alone = client.model("text").infer(text=column(text))
        np.testing.assert_allclose(together["emotion"][row], alone["emotion"][0], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"\xff\xfe\x00", "not_utf8"),
        (b"a" * 100_001, "too_long"),
    ],
)
def test_a_bad_sentence_says_why(client: EmotionClient, text: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        client.model("text").infer(text=column(text))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "text", ["\x00", "<script>", "😀" * 50, "'; DROP TABLE--", "a\u202eb", "%s%n"]
)
def test_strange_sentences_are_answered(client: EmotionClient, text: str) -> None:
    if text == "\x00":
        with pytest.raises(InputError):
            client.text(text)
        return
    assert len(client.text(text).emotions) == 7


def test_inner_steps_can_be_called_by_themselves(client: EmotionClient, media) -> None:
    crops = client.model("face_detect").infer(image=column(media["face"]))
    face = client.model("face_net").infer(face=crops["faces"][0])
    whole = client.model("face").infer(image=column(media["face"]))
    fer_order = face["emotion"][0]  # angry, disgust, fear, happy, sad, surprise, neutral
    canonical = fer_order[[0, 1, 2, 3, 6, 4, 5]]
    np.testing.assert_allclose(whole["emotion"][0, 0], canonical, atol=1e-4)
    windows = client.model("speech_features").infer(audio=column(media["speech"]))
    assert windows["log_mel"].shape[2:] == (64, 300)
    speech = client.model("speech_net").infer(log_mel=windows["log_mel"][0])
    assert speech["emotion"].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    tokens = client.model("text_tokens").infer(text=column(media["text"]))
    text = client.model("text_net").infer(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
    )
    whole = client.model("text").infer(text=column(media["text"]))
    np.testing.assert_allclose(text["emotion"], whole["emotion"], atol=1e-4)
    answer = client.model("text_answer").infer(emotion=text["emotion"], sentiment=text["sentiment"])
    assert json.loads(answer["answer"][0, 0])["emotions"][0]["label"]


def test_words_come_with_their_times(client: EmotionClient, data) -> None:
    sound = (data / "clips" / "audio" / "sr_stereo16_44100.flac").read_bytes()
    answer = json.loads(client.model("transcribe").infer(audio=column(sound))["answer"][0, 0])
    assert answer["text"] == "one two three"
    assert len(answer["utterances"][0]["words"]) == 3


def test_bad_media_in_flight_does_not_touch_others(grpc_client: EmotionClient, media, data) -> None:
    cut = (data / "clips" / "retalk_face1.mp4").read_bytes()[:50_000]

    def bad(_: int) -> str:
        with pytest.raises(InputError) as caught:
            grpc_client.speech(cut)
        return caught.value.reason

    def good(_: int) -> bool:
        return grpc_client.speech(media["speech"]).speech

    with ThreadPoolExecutor(6) as pool:
        reasons = pool.map(bad, range(12))
        spoken = pool.map(good, range(12))
        assert set(reasons) == {"undecodable"}
        assert all(spoken)


def test_the_steps_metrics_count(grpc_client: EmotionClient, triton, media) -> None:
    def read() -> dict[str, float]:
        time.sleep(2)  # steps tell Triton once a second what they counted
        lines = httpx.get(triton.metrics_url).text.splitlines()
        found = (re.match(r"(emoserve_\w+\{[^}]*\}) (\S+)", line) for line in lines)
        return {match[1]: float(match[2]) for match in found if match}

    def grown(series: str) -> float:
        return after.get(series, 0) - before.get(series, 0)

    grpc_client.text("hello")
    before = read()
    grpc_client.face(media["face"])
    grpc_client.emotion(text="hello", images=[media["face"]])
    for _ in range(2):
        with pytest.raises(InputError):
            grpc_client.face(b"\xff\xd8\xffbroken")
    after = read()
    assert grown('emoserve_faces_total{model="face"}') == 1
    assert grown('emoserve_frames_total{model="face"}') == 1
    assert grown('emoserve_rejected_inputs_total{model="face",reason="undecodable"}') == 2
    assert grown('emoserve_modalities_total{modality="text",model="emotion"}') == 1
    assert grown('emoserve_modalities_total{modality="speech",model="emotion"}') == 0
