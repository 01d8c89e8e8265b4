"""A clip to utterances with emotions, then a summary: one pass over the media, in bounded memory.

Sound feeds the voice detector (or the caller's subtitles), sampled frames the face networks; an
utterance is answered as soon as both streams have passed its end. Only compact results wait, never
sound or pictures.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import numpy as np

from emoserve_ensemble import answers, emotion, speech, text
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.clip_settings import ClipSettings
from emoserve_ensemble.clip_summary import ClipSummary
from emoserve_ensemble.dictation import Dictation, Said, awaited, known
from emoserve_ensemble.errors import Cancelled, InputError, never, while_wanted
from emoserve_ensemble.fusion import Absent, Evidence, Moment, fuse
from emoserve_ensemble.media import RATE_HZ, Frame, MediaEvent, MediaInfo, Sound
from emoserve_ensemble.networks import ask_many
from emoserve_ensemble.sightings import Sightings
from emoserve_ensemble.subtitles import CueSegmenter, is_timed, read_cues
from emoserve_ensemble.timeline import dominant
from emoserve_ensemble.tools import Tools
from emoserve_ensemble.transcripts import share_out
from emoserve_ensemble.voice import Utterance, VoiceDetector, find_utterances

NETWORKS = emotion.NETWORKS


class Segmenter(Protocol):
    """Cuts a stream of sound into utterances."""

    @property
    def settled_s(self) -> float:
        """Time up to which no further utterance will begin."""
        ...

    def feed(self, samples: Floats) -> Iterator[Utterance]: ...

    def finish(self) -> Iterator[Utterance]: ...


@dataclass(frozen=True)
class _Listened:
    """An utterance whose words may still be recognised."""

    start_s: float
    end_s: float
    speech: Evidence | Absent
    words: "Future[Said]"


@dataclass(frozen=True)
class _Heard:
    """An utterance without its sound: what it says and how."""

    start_s: float
    end_s: float
    speech: Evidence | Absent
    text: Evidence | Absent
    words: str


def analyze_clip(
    data: bytes,
    tools: Tools,
    settings: ClipSettings | None = None,
    *,
    transcript: str | None = None,
    cancelled: Cancelled = never,
) -> Iterator[answers.Json]:
    """Yield `{"utterance": …}` for each, in order of time, then `{"summary": …, "models": …}`.

    Args:
        data: the file's bytes, any accepted container.
        transcript: the words said, as plain text, SRT or WebVTT.
        cancelled: looked at between events and while others work for us.

    Raises:
        CallerGoneError: `cancelled()` became true; the work has been stopped.
        InputError: the media cannot be used, or nothing in it can be analysed.
    """
    settings = settings or ClipSettings()
    segmenter, texts = _segmentation(data, tools, transcript, cancelled)
    with ExitStack() as stack:
        dictation = None
        if tools.transcriber is not None and settings.transcribe and texts is None:
            dictation = stack.enter_context(Dictation(tools.transcriber))
        opened = tools.decoder.open(data, tools.limits, settings.sampling, cancelled)
        reader = stack.enter_context(opened)
        analysis = _Analysis(reader.info, tools, settings, segmenter, texts, dictation, cancelled)
        for event in while_wanted(reader.events(), cancelled):
            yield from analysis.take(event)
        yield from analysis.finish()


def _segmentation(
    data: bytes, tools: Tools, transcript: str | None, cancelled: Cancelled
) -> tuple[Segmenter, Iterator[str] | None]:
    """Return what cuts the sound, and the given text of each utterance."""
    if transcript is None:
        return VoiceDetector(tools.networks), None
    if is_timed(transcript):
        cues = read_cues(transcript)
        return CueSegmenter(cues), iter([cue.text for cue in cues])
    durations_s = [found.end_s - found.start_s for found in _first_pass(data, tools, cancelled)]
    return VoiceDetector(tools.networks), iter(share_out(transcript, durations_s or [1.0]))


def _first_pass(data: bytes, tools: Tools, cancelled: Cancelled) -> list[Utterance]:
    """Return the utterances without their sound: a pass over the sound alone."""
    with tools.decoder.open(data, tools.limits, cancelled=cancelled) as reader:
        if not reader.info.has_sound:
            return []
        detector = VoiceDetector(tools.networks)
        events = while_wanted(reader.events(), cancelled)
        pieces = (event.samples for event in events if isinstance(event, Sound))
        found = [u for piece in pieces for u in detector.feed(piece)] + [*detector.finish()]
    return [replace(utterance, samples=np.zeros(0, np.float32)) for utterance in found]


class _Analysis:
    """A clip's analysis in progress."""

    def __init__(
        self,
        info: MediaInfo,
        tools: Tools,
        settings: ClipSettings,
        segmenter: Segmenter,
        texts: Iterator[str] | None,
        dictation: Dictation | None,
        cancelled: Cancelled,
    ) -> None:
        self._info = info
        self._tools = tools
        self._settings = settings
        self._segmenter = segmenter
        self._texts = texts
        self._dictation = dictation
        self._cancelled = cancelled
        looking = info.has_pictures and settings.frame_rate_hz > 0
        self._sightings = Sightings(tools.networks, settings) if looking else None
        self._listened: list[_Listened] = []
        self._waiting: list[_Heard] = []
        self._summary = ClipSummary(settings.threshold)
        self._sound_end_s = 0.0

    def take(self, event: MediaEvent) -> Iterator[answers.Json]:
        """Take the next piece of media; yield the utterances it completes."""
        if isinstance(event, Frame):
            if self._sightings is not None:
                self._sightings.add(event)
        else:
            self._sound_end_s = event.start_s + len(event.samples) / RATE_HZ
            self._listened += map(self._listen, self._segmenter.feed(event.samples))
        while self._listened and self._listened[0].words.done():
            self._waiting.append(self._heard(self._listened.pop(0)))
        while self._waiting and self._seen_past(self._waiting[0].end_s):
            yield self._answer(self._waiting.pop(0))
        self._forget()

    def finish(self) -> Iterator[answers.Json]:
        """Yield the utterances still waiting, then the summary."""
        rest = while_wanted(self._segmenter.finish(), self._cancelled)
        self._listened += map(self._listen, rest)
        if not self._listened and not self._waiting and not self._summary.utterances:
            self._waiting.append(self._without_speech())
        waiting = chain(self._waiting, map(self._heard, self._listened))
        for heard in while_wanted(waiting, self._cancelled):
            yield self._answer(heard)
        persons = self._sightings.persons if self._sightings else []
        models = {"models": dict(self._tools.networks.versions)}
        yield {"summary": self._summary.to_json(self._duration_s, persons)} | models

    @property
    def _duration_s(self) -> float:
        seen_s = self._sightings.end_s if self._sightings else 0.0
        return max(self._sound_end_s, seen_s, self._info.duration_s or 0.0)

    def _seen_past(self, end_s: float) -> bool:
        return self._sightings is None or self._sightings.end_s >= end_s

    def _forget(self) -> None:
        """Drop frames that no utterance can need any more."""
        if self._sightings is not None:
            starts_s = [heard.start_s for heard in self._waiting[:1]]
            starts_s += [listened.start_s for listened in self._listened[:1]]
            self._sightings.forget(min([*starts_s, self._segmenter.settled_s]))

    def _listen(self, utterance: Utterance) -> _Listened:
        words = self._words(utterance.samples)  # first: the recogniser has its own process
        networks = self._tools.networks
        windows = speech.speech_windows(
            self._voiced(utterance), utterance.end_s - utterance.start_s
        )
        got = ask_many(networks, speech.speech_questions([windows]))
        spoken = speech.spoken([windows], got, networks)[0]
        return _Listened(utterance.start_s, utterance.end_s, spoken.evidence(), words)

    def _heard(self, listened: _Listened) -> _Heard:
        said = awaited(listened.words, self._cancelled)
        written: Evidence | Absent = Absent("no text")
        if said.words:
            written = text.analyze_sentences([said.words], self._tools)[0].evidence(said.source)
        return _Heard(listened.start_s, listened.end_s, listened.speech, written, said.words)

    def _voiced(self, utterance: Utterance) -> list[Utterance]:
        """Return where somebody speaks: all that the detector found, parts of a subtitle's time."""
        if isinstance(self._segmenter, VoiceDetector):
            return [utterance]
        parts = find_utterances(utterance.samples, self._tools.networks)
        shift_s = utterance.start_s
        return [Utterance(p.start_s + shift_s, p.end_s + shift_s, p.samples) for p in parts]

    def _words(self, samples: Floats) -> "Future[Said]":
        if self._dictation is not None:
            return self._dictation.begin(samples, self._cancelled)
        return known(next(self._texts, "") if self._texts is not None else "")

    def _without_speech(self) -> _Heard:
        """Return the whole clip as one utterance: nobody speaks in it."""
        words = next(self._texts, "") if self._texts is not None else ""
        written: Evidence | Absent = Absent("no text")
        if words:
            written = text.analyze_sentences([words], self._tools)[0].evidence("given")
        reason = "no speech" if self._info.has_sound else "no audio"
        return _Heard(0.0, self._duration_s, Absent(reason), written, words)

    def _faces(self, heard: _Heard) -> tuple[Evidence | Absent, list[answers.Json]]:
        if self._sightings is None:
            return Absent("not asked" if self._info.has_pictures else "no pictures"), []
        return self._sightings.during(heard.start_s, heard.end_s)

    def _answer(self, heard: _Heard) -> answers.Json:
        seen, frames = self._faces(heard)
        moment = Moment(seen, heard.speech, heard.text)
        if moment.nothing:
            raise InputError("nothing_to_analyze", f"media: {moment.why_nothing()}")
        fused = fuse([moment], self._tools.networks)[0]
        self._summary.add(heard.start_s, heard.end_s, fused)
        answer: answers.Json = {
            "start_time": round(heard.start_s, 3),
            "end_time": round(heard.end_s, 3),
            "text": heard.words,
            "dominant": dominant(fused.emotion, self._settings.threshold),
        }
        answer |= fused.to_json()
        if self._settings.frames:
            answer["frames"] = frames
        return {"utterance": answer}
