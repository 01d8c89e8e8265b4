"""Moments are paired by label, and disagreement is put in as asked."""

from __future__ import annotations

import pytest
import torch

from emoserve_ensemble.labels import EMOTIONS, SENTIMENTS
from emoserve_training.fusion import exchange_odds, mixed_shares
from emoserve_training.loop import TrainingError
from emoserve_training.pairs import Examples, Moments, Pairing, disagreeing

SEVEN = torch.arange(7).repeat(3)


def examples() -> dict[str, Examples]:
    """Embeddings whose first number is the label, and whose second tells the modality."""
    found = {}
    for place, name in enumerate(("face", "speech", "text")):
        embeddings = torch.zeros(21, 128)
        embeddings[:, 0] = SEVEN
        embeddings[:, 1] = place
        found[name] = Examples(embeddings, SEVEN, torch.full((21,), SENTIMENTS.index("positive")))
    return found


def draw(presence: tuple[int, int, int] | None) -> Moments:
    wanted = None if presence is None else torch.tensor(presence).float()
    pairing = Pairing(examples(), torch.full((7,), 1 / 7))
    return pairing.draw(4_000, torch.Generator().manual_seed(1), wanted)


def test_an_emotion_without_examples_is_named() -> None:
    found = examples()
    found["speech"] = Examples(torch.zeros(2, 128), torch.tensor([0, 1]))
    with pytest.raises(TrainingError, match=r"no examples of fear, joy, .* for speech"):
        Pairing(found, torch.full((7,), 1 / 7))


def test_all_three_are_of_the_drawn_emotion() -> None:
    moments = draw(None)
    for place in range(3):
        torch.testing.assert_close(moments.embeddings[:, place, 0], moments.emotions.float())
        assert bool((moments.embeddings[:, place, 1] == place).all())


def test_each_subset_is_as_frequent() -> None:
    presence = draw(None).presence
    subset = (presence * torch.tensor([1.0, 2.0, 4.0])).sum(dim=1).long()
    counts = torch.bincount(subset, minlength=8)
    assert int(counts[0]) == 0
    assert int(counts[1:].min()) > 450
    assert int(counts[1:].max()) < 700


def test_sentiment_is_the_texts_where_there_is_one() -> None:
    assert bool((draw((1, 0, 1)).sentiments == SENTIMENTS.index("positive")).all())


def test_sentiment_without_text_follows_from_the_emotion() -> None:
    moments = draw((1, 1, 0))
    wanted = {"joy": "positive", "neutral": "neutral", "surprise": "positive"}
    for number, name in enumerate(EMOTIONS):
        found = moments.sentiments[moments.emotions == number].unique().tolist()
        assert found == [SENTIMENTS.index(wanted.get(name, "negative"))]


def test_a_share_disagrees() -> None:
    moments = draw((1, 1, 1))
    changed = disagreeing(moments, torch.tensor([0.0, 0.35, 0.7]), torch.Generator().manual_seed(2))
    assert torch.equal(changed.emotions, moments.emotions)
    means = changed.embeddings[:, :, 0]
    agree = [torch.corrcoef(torch.stack([means[:, p], moments.emotions]))[0, 1] for p in range(3)]
    assert agree[0] > 0.9
    assert agree[0] > agree[1] + 0.15 > agree[2] + 0.3


def test_odds_bring_training_down_to_unseen_data() -> None:
    odds = exchange_odds(
        {"face": 0.8, "speech": 1.0, "text": 0.5}, {"face": 0.6, "speech": 0.2, "text": 0.55}
    )
    assert odds.tolist() == pytest.approx([0.35, 0.7, 0.1])


def test_shares_are_the_mean_of_the_data_sets() -> None:
    found = examples()
    found["text"] = Examples(torch.zeros(4, 128), torch.tensor([4, 4, 4, 3]))
    shares = mixed_shares(found)
    assert float(shares.sum()) == pytest.approx(1.0)
    assert float(shares[4]) == pytest.approx((2 / 7 + 3 / 4) / 3)
