"""The committed checkpoints give the figures on their cards, on real data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoserve_export import checkpoints
from emoserve_export.wheels import WheelDownloadError
from emoserve_training import measures, runs
from emoserve_training.data.faces import Faces, read_faces
from emoserve_training.data.meld import read_meld
from emoserve_training.data.ravdess import Recording, read_ravdess
from emoserve_training.speech import WindowedClips

FLOORS: Mapping[str, Mapping[str, float]] = {
    "face": {"accuracy, test": 0.62},
    "speech": {
        "macro recall of seven, validation, whole recordings": 0.60,
        "macro recall of seven, validation, cut to speech": 0.60,
    },
    "text": {"emotion, weighted F1, test": 0.58, "sentiment, weighted F1, test": 0.66},
}
SAME = 0.004
"""Another processor's rounding may turn one borderline example in 250."""


def on_card(name: str) -> dict[str, float]:
    """Returns the figures at the head of the committed card."""
    text = (checkpoints.FOLDER / f"{name}.md").read_text()
    head = text.split("![confusion matrix]")[0]
    return {key: float(value) for key, value in re.findall(r"\| (.+?) \| ([\d.]+) \|", head)}


@pytest.mark.parametrize("name", FLOORS)
def test_cards_are_above_the_floors(name: str) -> None:
    found = on_card(name)
    for figure, floor in FLOORS[name].items():
        assert found[figure] >= floor, figure


def test_three_modalities_are_better_than_one_and_any_may_be_missing() -> None:
    found = {key.removeprefix("emotion accuracy, "): v for key, v in on_card("fusion").items()}
    single = {name: found[name] for name in ("face", "speech", "text")}
    assert found["face + speech + text"] > max(single.values())
    for one, other in (("face", "speech"), ("face", "text"), ("speech", "text")):
        assert found[f"{one} + {other}"] >= max(single[one], single[other]) - 0.01


@pytest.mark.slow
def test_face_on_the_test_split(data: Path) -> None:
    test = read_faces(data / "faces")["test"]
    network = checkpoints.load("face").network
    card = measures.of_face({"test": test})(network, {})
    assert card.headline["accuracy, test"] == pytest.approx(
        on_card("face")["accuracy, test"], abs=SAME
    )


@pytest.mark.slow
def test_a_dim_or_small_face_is_still_recognised(data: Path) -> None:
    test = read_faces(data / "faces")["test"]
    network = checkpoints.load("face").network
    dim = Faces((test.images * 0.5 + 20).astype(np.uint8), test.labels)
    small = test.images.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)).repeat(2, 1).repeat(2, 2)
    soft = Faces(small.astype(np.uint8), test.labels)
    whole = measures.of_face({"test": test})(network, {}).headline["accuracy, test"]
    for changed, loss in ((dim, 0.01), (soft, 0.08)):
        found = measures.of_face({"test": changed})(network, {}).headline["accuracy, test"]
        assert found > whole - loss


@pytest.mark.slow
def test_speech_on_the_validation_actors(data: Path) -> None:
    validation = {"val": read_ravdess(data / "ravdess")["val"]}
    card = measures.of_speech(validation)(checkpoints.load("speech").network, {})
    wanted = on_card("speech")
    for figure, value in card.headline.items():
        assert value == pytest.approx(wanted[figure], abs=2 * SAME), figure


@pytest.mark.slow
def test_a_quiet_recording_is_the_same_emotion(data: Path) -> None:
    recordings = read_ravdess(data / "ravdess")["val"][::6]
    quiet = [replace(r, samples=_gain(r, -20)) for r in recordings]
    network = checkpoints.load("speech").network
    loud, soft = (WindowedClips(some).predict(network) for some in (recordings, quiet))
    assert torch.equal(loud.argmax(dim=1), soft.argmax(dim=1))
    # At -20 dB the quietest recordings' silence meets the least power of `log_mel`: 0.05 was found.
    torch.testing.assert_close(loud, soft, atol=0.07, rtol=0)
    assert len(loud) == 30


def _gain(recording: Recording, decibels: float) -> np.ndarray:
    return (recording.samples * 10 ** (decibels / 20)).astype(np.float32)


@pytest.mark.slow
def test_text_on_the_test_split(data: Path) -> None:
    try:
        network = checkpoints.load("text").network
    except WheelDownloadError as err:
        pytest.skip(f"MiniLM's wheel is not here: {err}")
    test = {"test": read_meld(data / "meld")["test"]}
    card = measures.of_text(test, runs.tokenizer())(network, {})
    wanted = on_card("text")
    for figure in FLOORS["text"]:
        assert card.headline[figure] == pytest.approx(wanted[figure], abs=SAME), figure
