"""Sentences of every length together answer as each does alone."""

from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.text import analyze_sentences, text_questions
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools

SENTENCES = ["fine", "I am so happy to see you " * 12, "Go away!", "what " * 20, "Oh.", ""]


@pytest.fixture
def tools(networks: LocalNetworks, tokenizer: Tokenizer) -> Tools:
    return Tools(networks, tokenizer=tokenizer)


def test_sentences_of_every_length_answer_as_each_does_alone(tools: Tools) -> None:
    together = analyze_sentences(SENTENCES, tools)
    assert [found.text for found in together] == SENTENCES
    for found in together:
        alone = analyze_sentences([found.text], tools)[0]
        np.testing.assert_allclose(found.emotion, alone.emotion, atol=1e-5)
        np.testing.assert_allclose(found.sentiment, alone.sentiment, atol=1e-5)
        np.testing.assert_allclose(found.embedding, alone.embedding, atol=1e-4)


class Padded(LocalNetworks):
    """As with a graph that computes padding like words."""

    def unpadded(self, network: str) -> bool:
        return False


def test_texts_of_like_length_share_a_question_and_little_of_it_is_padding(
    repository: Path, tokenizer: Tokenizer
) -> None:
    tools = Tools(Padded(repository, ["text_net"]), tokenizer=tokenizer)
    asked = text_questions(SENTENCES, tools).questions
    assert [len(question.inputs["input_ids"]) for question in asked] == [4, 1, 1]
    for question in asked:
        padding = (question.inputs["attention_mask"] == 0).sum(axis=1)
        assert padding.max() <= 8


def test_where_padding_costs_nothing_only_very_long_texts_are_asked_alone(tools: Tools) -> None:
    asked = text_questions(SENTENCES, tools).questions
    assert [len(question.inputs["input_ids"]) for question in asked] == [5, 1]


def test_no_texts_ask_nothing(tools: Tools) -> None:
    assert text_questions([], tools).questions == ()
