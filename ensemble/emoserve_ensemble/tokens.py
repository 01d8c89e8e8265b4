"""Sentences to the text network's input: version `tokens_v1`.

The vocabulary and the word pieces are MiniLM's own (`tokenizer.json`, uncased). Before them, the
signs that typesetting puts in place of the keyboard's are set back, so that a subtitle file's
"don’t" and a typed "don't" are one word.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from emoserve_ensemble.arrays import Tensor

VERSION: Final = "tokens_v1"
MAX_TOKENS: Final = 128

# Typographic signs, and the Windows-1252 bytes 0x85 to 0x97 that a Latin-1 reader leaves as C1
# control characters (MELD's csv files have both).
_PLAIN: Final = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u00b4": "'",
        "\u0060": "'", "\u0091": "'", "\u0092": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2033": '"', "\u0093": '"', "\u0094": '"',
        "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2010": "-", "\u2011": "-",
        "\u0096": "-", "\u0097": "-",
        "\u2026": "...", "\u0085": "...",
    }
)  # fmt: skip
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True)
class Tokens:
    """Sentences as numbers, padded with zeros to the longest of them.

    Attributes:
        input_ids: int64 [batch, tokens], at most 128 tokens, MiniLM's vocabulary.
        attention_mask: int64 [batch, tokens], 1 where there is a token, 0 where there is padding.
    """

    input_ids: Tensor
    attention_mask: Tensor


def plain_text(text: str) -> str:
    """Return the text with plain quotes, dashes, dots and single spaces, composed (NFC)."""
    composed = unicodedata.normalize("NFC", text).translate(_PLAIN)
    return _SPACES.sub(" ", composed).strip()


class Tokenizer:
    """MiniLM's word pieces behind `plain_text`."""

    def __init__(self, json: bytes | str) -> None:
        """Make it from the text of a `tokenizer.json`.

        Raises:
            ValueError: the text is no tokenizer.
        """
        from tokenizers import Tokenizer as WordPieces  # not for steps without text: 3 MB

        text = json.decode("utf-8") if isinstance(json, bytes) else json
        try:
            self._pieces = WordPieces.from_str(text)
        except Exception as error:
            raise ValueError(f"not a tokenizer.json: {error}") from error
        self._pieces.enable_truncation(MAX_TOKENS)
        self._pieces.no_padding()

    @classmethod
    def from_file(cls, path: Path) -> "Tokenizer":
        """Return the tokenizer of a `tokenizer.json`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no tokenizer.
        """
        return cls(path.read_bytes())

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Return the texts as numbers; those over 128 tokens lose their end.

        Raises:
            ValueError: no texts.
        """
        if not texts:
            raise ValueError("no texts; at least one is needed")
        rows = [piece.ids for piece in self._pieces.encode_batch([plain_text(t) for t in texts])]
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)  # 0 is MiniLM's [PAD]
        mask = np.zeros_like(ids)
        for row, found in enumerate(rows):
            ids[row, : len(found)] = found
            mask[row, : len(found)] = 1
        return Tokens(ids, mask)
