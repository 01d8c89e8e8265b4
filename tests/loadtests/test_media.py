"""Payloads: the stated mix, drawn ones, a user's own, plain tensors."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from emoserve_loadtests import media, mix


@pytest.fixture(scope="module")
def drawn() -> media.Corpus:
    single = list(media._drawn())
    return media.Corpus([*single, *media._moments(single)], "drawn")


def test_the_shares_are_whole() -> None:
    assert sum(mix.SHARES.values()) == pytest.approx(1)
    assert sum(mix.SUBSETS.values()) == pytest.approx(1)
    assert all(sum(sizes.values()) == pytest.approx(1) for sizes in mix.SIZES.values())
    assert set(mix.SHARES) == set(mix.PIPELINES) == set(mix.SIZES)


def test_the_mix_is_as_stated(drawn: media.Corpus) -> None:
    chance = random.Random(5)
    picked = Counter(drawn.items[drawn.pick(mix.MIX, chance)].pipeline for _ in range(20_000))
    for name, share in mix.SHARES.items():
        assert picked[name] / 20_000 == pytest.approx(share, abs=0.015)


def test_moments_lack_modalities_as_stated(drawn: media.Corpus) -> None:
    moments = [item for item in drawn.items if item.pipeline == "emotion"]
    found = Counter(item.modality for item in moments)
    assert found["face+speech+text"] / len(moments) == pytest.approx(0.4)
    for item in moments:
        assert len(item.inputs) == len(item.modality.split("+"))


def test_real_data_have_labels_in_canonical_names(data: Path) -> None:
    corpus = media.read_corpus(None)
    assert corpus is media.read_corpus(None), "read once"
    names = {"anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise", "none", ""}
    assert {item.label for item in corpus.items} == names
    assert {item.size for item in corpus.items if item.pipeline == "face"} == set(mix.SIZES["face"])


def test_a_folder_of_ones_own(drawn: media.Corpus, tmp_path: Path) -> None:
    files = {"face": "a.png", "speech": "b.wav", "video": "c.mkv"}
    for item in drawn.items:
        if item.pipeline in files:
            (tmp_path / files[item.pipeline]).write_bytes(next(iter(item.inputs.values())))
    with pytest.raises(ValueError, match="nothing for text"):
        media.read_corpus(tmp_path)
    (tmp_path / "d.txt").write_text("What?\n\nThat is quite a surprise to me.\n")
    corpus = media.read_corpus(tmp_path)
    texts = [corpus.items[at] for at in corpus.of("text")]
    assert [(item.inputs["text"], item.size) for item in texts] == [
        ("What?", "short"),
        ("That is quite a surprise to me.", "sentence"),
    ]


def test_tensors_are_read_as_perf_analyzer_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    content = {"x": {"content": [1.5, 2.5], "shape": [2]}, "n": {"content": [3], "shape": [1]}}
    path.write_text(json.dumps({"data": [content]}))
    (item,) = media.read_corpus(path).items
    assert (item.pipeline, item.modality) == ("model", "net")
    assert item.inputs["tensors"]["x"].dtype == np.float32
    assert item.inputs["tensors"]["x"].tolist() == [[1.5, 2.5]]
    assert item.inputs["tensors"]["n"].tolist() == [[3]]
