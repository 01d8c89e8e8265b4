"""Sentences to emotions and sentiments."""

from collections.abc import Sequence
from dataclasses import dataclass

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Evidence
from emoserve_ensemble.labels import SENTIMENTS, to_canonical
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks, Question, Tensors, ask_many
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools

NETWORKS = ("text_net",)


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


def text_question(texts: Sequence[str], tokenizer: Tokenizer) -> Question:
    """Return the question to `text_net` for texts, padded to the longest of them."""
    tokens = tokenizer.encode(texts)
    return Question(
        "text_net", {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    )


def sentences(texts: Sequence[str], answer: Tensors, networks: Networks) -> list[Sentence]:
    """Return what each text expresses, from the network's answer to `text_question`."""
    emotion = to_canonical(answer["emotion"], networks.labels("text_net", "emotion"))
    sentiment = to_canonical(
        answer["sentiment"], networks.labels("text_net", "sentiment"), SENTIMENTS
    )
    rows = zip(texts, emotion, sentiment, answer["embedding"], strict=True)
    return [Sentence(*row) for row in rows]


def analyze_texts(texts: Sequence[bytes], tools: Tools) -> list[Sentence | InputError]:
    """Return what each text expresses, or why it cannot be used; in order."""
    decoded = [text_or_error(text, tools) for text in texts]
    good = [text for text in decoded if isinstance(text, str)]
    analyzed = iter(analyze_sentences(good, tools))
    return [item if isinstance(item, InputError) else next(analyzed) for item in decoded]


def analyze_sentences(texts: Sequence[str], tools: Tools) -> list[Sentence]:
    """Return what each text expresses."""
    if not texts:
        return []
    answer = ask_many(tools.networks, [text_question(texts, tools.words)])[0]
    return sentences(texts, answer, tools.networks)


def text_or_error(text: bytes, tools: Tools) -> str | InputError:
    """Return `decode_text`, or its error as a value."""
    try:
        return decode_text(text, tools.limits)
    except InputError as error:
        return error
