import numpy as np
import pytest

from emoserve_ensemble.labels import EMOTIONS, SENTIMENTS, read_labels, to_canonical

RAVDESS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


def test_labels_that_share_a_meaning_add_up() -> None:
    own = np.asarray([[0.1, 0.2, 0.3, 0.05, 0.15, 0.1, 0.06, 0.04]], np.float32)
    canonical = dict(zip(EMOTIONS, to_canonical(own, RAVDESS)[0], strict=True))
    assert canonical["neutral"] == pytest.approx(0.3)
    assert canonical["joy"] == pytest.approx(0.3)
    assert canonical["anger"] == pytest.approx(0.15)
    assert sum(canonical.values()) == pytest.approx(1.0)


def test_order_is_the_networks_own() -> None:
    own = np.asarray([[0.7, 0.2, 0.1]], np.float32)
    assert to_canonical(own, ["positive", "negative", "neutral"], SENTIMENTS)[0] == pytest.approx(
        [0.2, 0.1, 0.7]
    )


def test_unknown_label_is_named() -> None:
    with pytest.raises(ValueError, match="bored"):
        to_canonical(np.ones((1, 2), np.float32), ["happy", "bored"])


def test_label_file_keeps_its_order(tmp_path) -> None:
    path = tmp_path / "emotion.labels.txt"
    path.write_text("happy\nsad\n\n")
    assert read_labels(path) == ["happy", "sad"]
