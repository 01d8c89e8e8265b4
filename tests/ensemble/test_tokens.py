"""Sentences become MiniLM's numbers; typographic signs do not matter."""

from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble.tokens import MAX_TOKENS, Tokenizer, plain_text

# Made by hand in the form of MiniLM's tokenizer.json, with nine words.
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "don", "'", "t", "go", "##ing"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return Tokenizer(pieces.to_str())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("You must\u2019ve  \u201cgone\u201d\n\u2026", 'You must\'ve "gone" ...'),
        ("I\u0092m \u0093here\u0094 \u0096 now\u0085", 'I\'m "here" - now...'),
        ("cafe\u0301", "caf\u00e9"),
        ("plain 'text'", "plain 'text'"),
        (" \t ", ""),
    ],
)
def test_typesetting_is_set_back(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_numbers_and_padding(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(["Don\u2019t GO", "going"])
    np.testing.assert_array_equal(tokens.input_ids, [[2, 4, 5, 6, 7, 3], [2, 7, 8, 3, 0, 0]])
    np.testing.assert_array_equal(tokens.attention_mask, [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == np.int64


def test_long_texts_lose_their_end(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(["go " * 500])
    assert tokens.input_ids.shape == (1, MAX_TOKENS)
    assert tokens.input_ids[0, 0] == 2
    assert tokens.input_ids[0, -1] == 3


def test_no_texts(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="at least one is needed"):
        tokenizer.encode([])


def test_from_a_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"not a tokenizer\.json"):
        Tokenizer.from_file(path)
