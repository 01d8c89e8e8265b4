"""Sentences to emotions and sentiments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Evidence
from emoserve_ensemble.labels import SENTIMENTS, to_canonical
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks, Question, Tensors, ask_many
from emoserve_ensemble.tokens import Tokens
from emoserve_ensemble.tools import Tools

NETWORKS = ("text_net",)
# Tokens by which texts of one call differ: its fixed cost is that of 10 tokens (docs/decisions.md
# 14), and where padding is left out only attention, which is cheap, sees it (25).
MOST_PADDING, MOST_UNPADDED = 8, 40


@dataclass(frozen=True)
class Sentence:
    """A text and what it expresses: emotion float32 [7], sentiment float32 [3], embedding [128]."""

    text: str
    emotion: Floats
    sentiment: Floats
    embedding: Floats

    def to_json(self) -> answers.Json:
        return {
            "emotions": answers.emotions(self.emotion),
            "sentiments": answers.sentiments(self.sentiment),
        }

    def evidence(self, source: str) -> Evidence:
        """Return it as a modality; `source` says where the text comes from."""
        details = {
            "sentiments": answers.sentiments(self.sentiment),
            "text": self.text,
            "source": source,
        }
        return Evidence(self.emotion, self.embedding, details)


def decode_text(data: bytes, limits: Limits) -> str:
    """Return the text.

    Raises:
        InputError: not UTF-8, nothing but white space, or too long.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            "not_utf8", f"text: byte {error.start} is {data[error.start]:#04x}; UTF-8 is accepted"
        ) from error
    if not text.strip().strip("\x00"):
        raise InputError("empty", "text: nothing but white space; at least one word is needed")
    if len(text) > limits.max_text_chars:
        raise InputError(
            "too_long",
            f"text: {len(text)} characters; at most {limits.max_text_chars} are accepted",
        )
    return text


@dataclass(frozen=True)
class TextQuestions:
    """Questions to `text_net`: texts of like length together, so that little of them is padding.

    Attributes:
        questions: each padded to the longest of its texts.
        order: int [texts], which text each row of the answers, one after the other, belongs to.
    """

    questions: tuple[Question, ...] = ()
    order: tuple[int, ...] = ()


def text_questions(texts: Sequence[str], tools: Tools) -> TextQuestions:
    """Return the questions about texts; none where there is no text."""
    if not texts:
        return TextQuestions()
    tokens = tools.words.encode(texts)
    lengths = tokens.attention_mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    most = MOST_UNPADDED if tools.networks.unpadded("text_net") else MOST_PADDING
    groups: list[list[int]] = []
    for row in order:
        if not groups or lengths[row] - lengths[groups[-1][0]] > most:
            groups.append([])
        groups[-1].append(int(row))
    return TextQuestions(
        tuple(_question(tokens, rows, int(lengths[rows[-1]])) for rows in groups),
        tuple(map(int, order)),
    )


def _question(tokens: Tokens, rows: list[int], longest: int) -> Question:
    names = ("input_ids", "attention_mask")
    return Question(
        "text_net",
        {name: np.ascontiguousarray(getattr(tokens, name)[rows, :longest]) for name in names},
    )


def sentences(
    texts: Sequence[str], asked: TextQuestions, got: Sequence[Tensors], networks: Networks
) -> list[Sentence]:
    """Return what each text expresses, from the answers to `text_questions`."""
    if not texts:
        return []
    places = np.argsort(asked.order)  # where in the answers each text is
    rows = {name: np.concatenate([answer[name] for answer in got])[places] for name in got[0]}
    emotion = to_canonical(rows["emotion"], networks.labels("text_net", "emotion"))
    sentiment = to_canonical(
        rows["sentiment"], networks.labels("text_net", "sentiment"), SENTIMENTS
    )
    found = zip(texts, emotion, sentiment, rows["embedding"], strict=True)
    return [Sentence(*row) for row in found]


def analyze_texts(texts: Sequence[bytes], tools: Tools) -> list[Sentence | InputError]:
    """Return what each text expresses, or why it cannot be used; in order."""
    decoded = [text_or_error(text, tools) for text in texts]
    good = [text for text in decoded if isinstance(text, str)]
    analyzed = iter(analyze_sentences(good, tools))
    return [item if isinstance(item, InputError) else next(analyzed) for item in decoded]


def analyze_sentences(texts: Sequence[str], tools: Tools) -> list[Sentence]:
    """Return what each text expresses."""
    asked = text_questions(texts, tools)
    return sentences(texts, asked, ask_many(tools.networks, asked.questions), tools.networks)


def text_or_error(text: bytes, tools: Tools) -> str | InputError:
    """Return `decode_text`, or its error as a value."""
    try:
        return decode_text(text, tools.limits)
    except InputError as error:
        return error
