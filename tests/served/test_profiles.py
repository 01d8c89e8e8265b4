"""The seam (DESIGN decision 6): networks in the step, or served and asked through Triton, agree."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emoserve_client import EmotionClient
from emoserve_export import golden_media
from emoserve_export.catalogue import CATALOGUE
from emoserve_export.configs.generate import config_text, network_config, step_config
from emoserve_export.configs.steps import STEPS
from emoserve_server import EmbeddedTriton

TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def gpu_profile(repository: Path, tmp_path_factory) -> Iterator[EmotionClient]:
    """A Triton with the configs of the profile gpu over the same networks."""
    copy = tmp_path_factory.mktemp("gpu") / "model_repository"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("manifest.json", ".*"))
    configs = {network.name: network_config(network, "gpu") for network in CATALOGUE}
    configs |= {step.name: step_config(step, "gpu") for step in STEPS}
    for name, config in configs.items():
        (copy / name / "config.pbtxt").write_text(config_text(config), encoding="utf-8")
    with (
        EmbeddedTriton(copy, http_port=0, grpc_port=0, metrics_port=0) as server,
        EmotionClient(server.grpc_url) as client,
    ):
        yield client


def column(*values: bytes) -> np.ndarray:
    return np.asarray([[value] for value in values], object)


def agree(one: object, other: object, where: str = "answer") -> None:
    """Compare two decoded answers: numbers within tolerance, emotions by label, all else equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            agree(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), where
        if one and isinstance(one[0], dict) and "confidence" in one[0]:
            one, other = (
                {score["label"]: score["confidence"] for score in scores} for scores in (one, other)
            )
            agree(one, other, where)
            return
        for index, pair in enumerate(zip(one, other, strict=True)):
            agree(*pair, f"{where}[{index}]")
    elif isinstance(one, float) or isinstance(other, float):
        relative = 5e-3 if ".box" in where else 0
        assert one == pytest.approx(other, abs=TOLERANCE, rel=relative), where
    else:
        assert one == other, where


@pytest.mark.parametrize("model", ["face", "speech", "text", "emotion"])
def test_answers_agree(
    grpc_client: EmotionClient, gpu_profile: EmotionClient, media, model: str
) -> None:
    named = {"face": "image", "speech": "audio", "text": "text"}
    modality = {"image": "face", "audio": "speech"}
    if model == "emotion":
        inputs = {
            "images": column(media["face"], media["face"], b""),
            "audio": column(media["speech"], b"", media["speech"]),
            "text": column(media["text"], b"Oh no.", b"I hate this."),
        }
    elif model == "text":
        inputs = {"text": column(media["text"], b"No!", b"a much longer sentence than the others")}
    else:
        name = named[model]
        inputs = {name: column(media[modality[name]], media[modality[name]])}
    replies = [client.model(model).infer(inputs) for client in (grpc_client, gpu_profile)]
    for name in replies[0].outputs:
        if name == "answer":
            for one, other in zip(replies[0][name], replies[1][name], strict=True):
                agree(json.loads(one[0]), json.loads(other[0]))
        else:
            scale = 1.0 if name == "boxes" else TOLERANCE
            np.testing.assert_allclose(replies[0][name], replies[1][name], atol=scale)


def test_clips_agree(grpc_client: EmotionClient, gpu_profile: EmotionClient) -> None:
    clip = golden_media.clip()
    one, other = (
        client.video(clip, transcript="What a day!", options={"frames": True}).to_dict()
        for client in (grpc_client, gpu_profile)
    )
    agree(one, other)


def test_a_bad_sentence_is_refused_by_the_ensemble_too(gpu_profile: EmotionClient) -> None:
    with pytest.raises(Exception, match="not_utf8"):
        gpu_profile.model("text").infer(text=column(b"\xff\xfe"))
