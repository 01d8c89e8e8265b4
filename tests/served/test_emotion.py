"""Any subset of the modalities, alone and inside a batch whose other members differ."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from emoserve_client import EmotionClient, InputError

from .conftest import INPUT_OF, MODALITIES, SUBSETS


def given(media: dict[str, bytes], subset: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the inputs of one moment with a batch axis; absent ones are not sent."""
    return {INPUT_OF[name]: np.asarray([[media[name]]], object) for name in subset}


def check(answer: dict, subset: tuple[str, ...]) -> None:
    """Hold an answer against what was given."""
    modalities = answer["modalities"]
    assert tuple(name for name in MODALITIES if modalities[name]["present"]) == subset
    weights = {name: modalities[name]["weight"] for name in MODALITIES}
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-4)
    for name in MODALITIES:
        if name in subset:
            assert weights[name] > 0
            assert len(modalities[name]["emotions"]) == 7
        else:
            assert weights[name] == 0
            assert modalities[name]["reason"] == "not given"
    for kind, count in (("emotions", 7), ("sentiments", 3)):
        confidences = [score["confidence"] for score in answer[kind]]
        assert len(confidences) == count
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_each_subset_alone(client: EmotionClient, media, subset: tuple[str, ...]) -> None:
    reply = client.model("emotion").infer(given(media, subset))
    check(json.loads(reply["answer"][0, 0]), subset)
    assert list(reply["presence"][0]) == [float(name in subset) for name in MODALITIES]


def test_all_subsets_in_one_batch(client: EmotionClient, media) -> None:
    batch = {
        INPUT_OF[name]: np.asarray(
            [[media[name] if name in subset else b""] for subset in SUBSETS], object
        )
        for name in MODALITIES
    }
    reply = client.model("emotion").infer(batch)
    for row, subset in enumerate(SUBSETS):
        check(json.loads(reply["answer"][row, 0]), subset)
    alone = client.model("emotion").infer(given(media, SUBSETS[4]))
    np.testing.assert_allclose(reply["emotion"][4], alone["emotion"][0], atol=1e-4)


def test_bad_members_do_not_fail_the_others(client: EmotionClient, media) -> None:
    texts = [media["text"], b"\xff\xfe", b"", media["text"]]
    images = [media["face"], media["face"], b"", b"no picture"]
    reply = client.model("emotion").infer(
        text=np.asarray([[text] for text in texts], object),
        images=np.asarray([[image] for image in images], object),
    )
    answers = [json.loads(answer) for answer in reply["answer"][:, 0]]
    check(answers[0], ("face", "text"))
    assert [answer["error"]["reason"] for answer in answers[1:]] == [
        "not_utf8",
        "nothing_given",
        "unsupported",
    ]
    assert np.isfinite(reply["emotion"][0]).all()
    assert np.isnan(reply["emotion"][1:]).all()


def test_nothing_at_all_is_an_error(client: EmotionClient) -> None:
    with pytest.raises(InputError) as caught:
        client.model("emotion").infer(text=np.asarray([[b""]], object))
    assert caught.value.reason == "nothing_given"


def test_silence_is_no_speech_and_words_still_count(client: EmotionClient, media, silence) -> None:
    answer = client.emotion(audio=silence, text=media["text"].decode())
    assert answer.modalities["speech"].reason == "no speech"
    assert answer.modalities["text"].present
    assert answer.modalities["text"].weight == pytest.approx(1.0)


def test_several_pictures_of_one_moment(client: EmotionClient, media) -> None:
    answer = client.emotion(images=[media["face"], media["face"]])
    assert answer.modalities["face"].faces == 2
    assert answer.modalities["face"].frames == 2


def test_moments_of_different_sizes_share_an_execute(
    grpc_client: EmotionClient, triton, media
) -> None:
    """Requests with one, two and three pictures queue up behind each other and go in together."""

    def counts() -> tuple[int, int]:
        url = f"{triton.http_url}/v2/models/emotion/stats"
        stats = httpx.get(url).json()["model_stats"][0]
        return stats["inference_count"], stats["execution_count"]

    before = counts()
    with ThreadPoolExecutor(12) as pool:
        sizes = [1 + index % 3 for index in range(36)]
        answers = pool.map(lambda size: grpc_client.emotion(images=[media["face"]] * size), sizes)
        assert [answer.modalities["face"].frames for answer in answers] == sizes
    inferences, executions = (now - then for now, then in zip(counts(), before, strict=True))
    assert inferences == 36
    assert executions < inferences
