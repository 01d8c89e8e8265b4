"""The public pipelines as flows: bytes in, typed results out; shared by both clients."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from emoserve_client import _answers, _inputs
from emoserve_client._call import stream
from emoserve_client._flow import Flow, work
from emoserve_client._hooks import Call
from emoserve_client._message import Message
from emoserve_client._request import Reply, Request, Tensor
from emoserve_client._results import (
    EmotionAnalysis,
    FaceAnalysis,
    Result,
    SpeechAnalysis,
    Summary,
    TextAnalysis,
    Transcript,
    Utterance,
)
from emoserve_client._session import Session
from emoserve_client._shared import infer
from emoserve_client._tensors import Array
from emoserve_client.errors import InputError

T = TypeVar("T", bound=Result)
Options = Mapping[str, object]
ClipEnd = tuple[Summary, Mapping[str, str]]


def face(session: Session, image: _inputs.Picture, timeout_s: float | None) -> Flow[FaceAnalysis]:
    """The flow of `EmotionClient.face`."""
    encoded = yield from work(lambda: _inputs.picture(image))
    return (yield from _ask(session, "face", {"image": [encoded]}, _answers.face, timeout_s))


def speech(
    session: Session, audio: _inputs.Sound, rate_hz: int | None, timeout_s: float | None
) -> Flow[SpeechAnalysis]:
    """The flow of `EmotionClient.speech`."""
    encoded = yield from work(lambda: _inputs.sound(audio, rate_hz))
    return (yield from _ask(session, "speech", {"audio": [encoded]}, _answers.speech, timeout_s))


def transcribe(
    session: Session, audio: _inputs.Sound, rate_hz: int | None, timeout_s: float | None
) -> Flow[Transcript]:
    """The flow of `EmotionClient.transcribe`."""
    encoded = yield from work(lambda: _inputs.sound(audio, rate_hz))
    given = {"audio": [encoded]}
    return (yield from _ask(session, "transcribe", given, _answers.transcript, timeout_s))


def text(session: Session, words: str, timeout_s: float | None) -> Flow[TextAnalysis]:
    """The flow of `EmotionClient.text`."""
    encoded = _inputs.words(words)
    return (yield from _ask(session, "text", {"text": [encoded]}, _answers.text, timeout_s))


def emotion(
    session: Session,
    images: _inputs.Picture | Sequence[_inputs.Picture] | None,
    audio: _inputs.Sound | None,
    words: str | None,
    rate_hz: int | None,
    timeout_s: float | None,
) -> Flow[EmotionAnalysis]:
    """The flow of `EmotionClient.emotion`."""
    given: dict[str, list[bytes]] = {}
    if images is not None and (encoded := (yield from work(lambda: _inputs.pictures(images)))):
        given["images"] = encoded
    if audio is not None:
        given["audio"] = [(yield from work(lambda: _inputs.sound(audio, rate_hz)))]
    if words is not None:
        given["text"] = [_inputs.words(words)]
    if not given:
        raise InputError("give at least one of images, audio and text", reason="nothing_given")
    return (yield from _ask(session, "emotion", given, _answers.emotion, timeout_s))


def video(
    session: Session,
    media: _inputs.Media,
    transcript: str | None,
    options: Options | None,
    timeout_s: float | None,
) -> Flow[None]:
    """The flow of `EmotionClient.stream_video`: emits utterances, then the end of the clip."""
    encoded = yield from work(lambda: _inputs.media(media))
    name = "media"
    if not session.wire.binary_streams:
        name, encoded = "media_base64", (yield from work(partial(base64.b64encode, encoded)))
    tensors = [Tensor.of(name, _objects([encoded]))]
    if transcript is not None:
        tensors.append(Tensor.of("transcript", _objects([_inputs.words(transcript)])))
    if options:
        tensors.append(Tensor.of("options", _objects([json.dumps(dict(options)).encode()])))
    facts = Call("video", "video", session.new_id(), len(encoded))
    del encoded  # the message holds the only copy from here on
    request = Request("video", tuple(tensors), ("answer",), id=facts.request_id)
    message: Message[Utterance | ClipEnd | None] = session.wire.stream(request).then(_clip_part)
    del tensors, request
    yield from stream(session, message, facts, timeout_s, replayable=True)


def _clip_part(reply: Reply | None) -> Utterance | ClipEnd | None:
    if reply is None:
        return None
    answer = _answers.parse(reply.text("answer"))
    if "heartbeat" in answer:  # over HTTP: the server looks whether we are still there
        return None
    if isinstance(one := answer.get("utterance"), dict):
        return _answers.utterance(one)
    return _answers.summary(answer)


def _ask(
    session: Session,
    model: str,
    given: Mapping[str, Sequence[bytes]],
    read: Callable[[Mapping[str, Any]], T],
    timeout_s: float | None,
) -> Flow[T]:
    """One answer of a pipeline that takes a batch; the batch has one member."""
    inputs = tuple(
        Tensor.of(name, _objects(values).reshape(1, len(values)))  # [batch, elements]
        for name, values in given.items()
    )
    size = sum(len(one) for values in given.values() for one in values)
    facts = Call("infer", model, session.new_id(), size)
    timeout_us = 0 if timeout_s is None else int(timeout_s * 1e6)
    request = Request(model, inputs, ("answer",), id=facts.request_id, timeout_us=timeout_us)

    def answer(reply: Reply) -> T:
        return read(_answers.parse(reply.text("answer")))

    return (yield from infer(session, request, answer, facts, timeout_s))


def _objects(values: Sequence[bytes]) -> Array:
    """An object array of bytes: numpy would cut trailing zeros from an array of its own."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
