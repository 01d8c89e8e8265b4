"""A declaration that contradicts itself is refused, with what was found and what is accepted."""

import pytest

from emoserve_ensemble import face_pixels, log_mel, tokens
from emoserve_export.catalogue import CATALOGUE, FACE, SPEECH, TEXT
from emoserve_export.declaration import Axis, Labels, Serving, Tensor, axes
from emoserve_export.errors import DeclarationError
from emoserve_export.networks import face, fusion, speech, text

from .conftest import Declare


def test_axes_are_dynamic_fixed_or_bounded() -> None:
    assert axes("batch", channel=3, height=(12, 99)) == (
        Axis("batch"),
        Axis("channel", 3),
        Axis("height", None, 12, 99),
    )
    assert Tensor("x", "float32", axes("batch", height=(12, 99))).shape(batch=5) == (5, 12)


def test_a_label_count_that_does_not_match_the_classes_is_refused(variant: Declare) -> None:
    with pytest.raises(DeclarationError, match="emotion has 3 classes but 2 labels"):
        variant(labels={"emotion": Labels(("happy", "sad"))})


def test_labels_without_a_canonical_meaning_are_refused(variant: Declare) -> None:
    with pytest.raises(DeclarationError, match="bored"):
        variant(labels={"emotion": Labels(("happy", "sad", "bored"))})
    own = variant(labels={"emotion": Labels(("happy", "sad", "bored"), None)})
    assert own.labels["emotion"].vocabulary is None


def test_a_label_twice_is_refused(variant: Declare) -> None:
    with pytest.raises(DeclarationError, match="a label occurs twice"):
        variant(labels={"emotion": Labels(("happy", "sad", "happy"))})


def test_labels_for_no_output_are_refused(variant: Declare) -> None:
    with pytest.raises(DeclarationError, match="labels for 'mood', which is no output"):
        variant(labels={"mood": Labels(("happy", "sad", "calm"))})


def test_a_batched_network_needs_a_batch_axis(variant: Declare) -> None:
    with pytest.raises(DeclarationError, match="its first axis must be batch"):
        variant(inputs=(Tensor("picture", "float32", axes("windows", samples=9)),))
    with pytest.raises(DeclarationError, match="max_batch_size is 0"):
        variant(serving=Serving(max_batch_size=0))


def test_a_tensor_twice_is_refused(variant: Declare) -> None:
    tensor = Tensor("x", "float32", axes("batch", n=1))
    with pytest.raises(DeclarationError, match="'x' is declared twice"):
        variant(inputs=(tensor,), outputs=(tensor,), labels={})


def test_samples_are_in_the_declared_range_and_repeat() -> None:
    first, again = FACE.sample(3, seed=4), FACE.sample(3, seed=4)
    assert first["face"].shape == (3, 1, 48, 48)
    assert first["face"].dtype == "float32"
    assert 0 <= first["face"].min() < first["face"].max() <= 1
    assert (first["face"] == again["face"]).all()


def test_the_catalogue_agrees_with_the_networks_and_the_preprocessing() -> None:
    assert [network.name for network in CATALOGUE] == [
        "face_net",
        "speech_net",
        "text_net",
        "fusion_net",
        "face_pnet",
        "face_rnet",
        "face_onet",
        "voice_net",
    ]
    assert FACE.labels["emotion"].names == face.LABELS
    assert SPEECH.labels["emotion"].names == speech.LABELS
    assert TEXT.labels["emotion"].names == text.EMOTION_LABELS == fusion.EMOTION_LABELS
    assert TEXT.labels["sentiment"].names == text.SENTIMENT_LABELS
    assert FACE.preprocessing.name == face_pixels.VERSION
    assert SPEECH.preprocessing.name == log_mel.VERSION
    assert TEXT.preprocessing.name == tokens.VERSION
    assert TEXT.inputs[0].axes[1].high == tokens.MAX_TOKENS
