"""The media of the golden requests: drawn here, and real enough for the detectors."""

import io
import wave

import numpy as np
import pytest

from emoserve_ensemble.detection import find_faces
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Question
from emoserve_export import golden, golden_file, golden_media
from emoserve_export.catalogue import ONET, PNET, RNET, VOICE
from emoserve_export.trained import TrainedNetworks


@pytest.fixture(scope="module")
def networks() -> TrainedNetworks:
    return TrainedNetworks((PNET, RNET, ONET, VOICE))


def test_the_drawn_face_is_a_face_to_mtcnn(networks: TrainedNetworks) -> None:
    found = find_faces([golden_media.face_picture()], networks)[0]
    assert len(found) == 1
    assert found.detection[0] > 0.95
    left, top, right, bottom = found.boxes[0]
    assert left < 120 < right
    assert top < 120 < bottom


def test_the_drawn_voice_is_speech_to_silero(networks: TrainedNetworks) -> None:
    sound = np.pad(golden_media.voice(), (64, 0))
    rows = np.arange((len(sound) - 64) // 512)[:, None] * 512 + np.arange(576)
    state = np.zeros((1, 1, 128), np.float32)
    asked = Question("voice_net", {"windows": sound[rows], "h": state, "c": state})
    answer = networks.ask_all([asked])[0]
    assert np.median(answer["speech"]) > 0.5


def test_media_is_the_same_each_time_and_decodes() -> None:
    picture = golden_media.face_picture()
    assert golden_media.png(picture) == golden_media.png(golden_media.face_picture())
    np.testing.assert_array_equal(decode_image(golden_media.png(picture), Limits()), picture)
    with wave.open(io.BytesIO(golden_media.wav(golden_media.voice(1.0)))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (
            16_000,
            1,
            16_000,
        )
    assert golden_media.clip(0.5) == golden_media.clip(0.5)


def test_a_golden_request_comes_back_as_it_was_stored() -> None:
    inputs = {"x": np.arange(6, dtype=np.int64).reshape(2, 3)}
    outputs = {"y": np.ones((2, 1), np.float32)}
    data = golden.network_golden(inputs, outputs, {"y": outputs["y"] * 2})
    found = golden_file.unpacked(data)
    np.testing.assert_array_equal(found["in"]["x"], inputs["x"])
    assert found["graph"]["y"][0, 0] == 2.0
    assert data == golden.network_golden(inputs, outputs, {"y": outputs["y"] * 2})


def test_each_public_pipeline_has_a_request() -> None:
    requests = golden.pipeline_requests()
    assert (
        set(requests)
        == set(golden_file.PIPELINES)
        == {"face", "speech", "text", "emotion", "video"}
    )
    assert all(all(value for value in request.values()) for request in requests.values())
