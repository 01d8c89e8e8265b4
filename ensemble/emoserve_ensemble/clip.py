"""A clip to utterances with emotions, then a summary: one pass over the media, in bounded memory.

Sound feeds the voice detector, sampled frames the face networks; an utterance is answered as soon
as both streams have passed its end. Only compact results wait, never sound or pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emoserve_ensemble import answers, emotion, face, speech, text
from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.detection import DetectorSettings
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Absent, Evidence, Fused, Moment, fuse
from emoserve_ensemble.labels import MODALITIES
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.media import Frame, MediaInfo, MediaReader, Sound
from emoserve_ensemble.networks import Networks, ask_many
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.transcription import Transcriber
from emoserve_ensemble.transcripts import share_out
from emoserve_ensemble.voice import Utterance, VoiceDetector

NETWORKS = emotion.NETWORKS
FRAMES_AT_ONCE = 8  # frames that go through the face networks together


@dataclass(frozen=True)
class ClipSettings:
    """What a caller may set for one clip, as the JSON of `options`.

    Attributes:
        frame_rate_hz: sampled frames a second; 0 looks at no pictures.
        max_side_px: sampled frames are shrunk to this.
        transcribe: recognise the words where no transcript is given.
    """

    frame_rate_hz: float = 2.0
    max_side_px: int = 640
    transcribe: bool = True

    @classmethod
    def from_json(cls, given: object) -> "ClipSettings":
        """Return the settings of a decoded JSON object.

        Raises:
            InputError: not an object, an unknown name, or a value of the wrong type or range.
        """
        if not isinstance(given, dict):
            raise InputError(
                "bad_option", f"options is a {type(given).__name__}; an object is accepted"
            )
        unknown = sorted(set(given) - set(_RANGES))
        if unknown:
            raise InputError("bad_option", f"options {unknown}; known are {sorted(_RANGES)}")
        for name, value in given.items():
            low, high = _RANGES[name]
            number = isinstance(value, (bool, int, float))
            if (
                not number
                or isinstance(value, bool) != (name == "transcribe")
                or not low <= value <= high
            ):
                raise InputError("bad_option", f"{name} is {value!r}; {low} to {high} is accepted")
        return cls(**given)


_RANGES: dict[str, tuple[float | bool, float | bool]] = {
    "frame_rate_hz": (0.0, 60.0),
    "max_side_px": (64, 4096),
    "transcribe": (False, True),
}


@dataclass(frozen=True)
class Tools:
    """What a clip is analysed with."""

    networks: Networks
    tokenizer: Tokenizer
    transcriber: Transcriber | None
    limits: Limits


@dataclass(frozen=True)
class _Seen:
    """A sampled frame's faces."""

    time_s: float
    faces: face.Faces


@dataclass(frozen=True)
class _Heard:
    """An utterance without its sound: what it says and how."""

    start_s: float
    end_s: float
    speech: Evidence | Absent
    text: Evidence | Absent
    words: str


@dataclass(frozen=True)
class AnsweredUtterance:
    """One utterance of a clip and its fused answer."""

    start_s: float
    end_s: float
    text: str
    fused: Fused

    def to_json(self) -> answers.Json:
        times = {"start_time": round(self.start_s, 3), "end_time": round(self.end_s, 3)}
        return times | {"text": self.text} | self.fused.to_json()


def analyze_clip(
    data: bytes,
    tools: Tools,
    settings: ClipSettings | None = None,
    *,
    transcript: str | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[answers.Json]:
    """Yield `{"utterance": …}` for each, in order of time, then `{"summary": …, "models": …}`.

    Stops without a summary once `cancelled()` is true.

    Raises:
        InputError: the media cannot be used, or nothing in it can be analysed.
    """
    settings = settings or ClipSettings()
    if transcript is not None:
        durations_s = [u.end_s - u.start_s for u in _utterances(data, tools)]
        texts = iter(share_out(transcript, durations_s or [1.0]))
    else:
        texts = None
    with MediaReader(
        data, tools.limits, frame_rate_hz=settings.frame_rate_hz, max_side_px=settings.max_side_px
    ) as reader:
        analysis = _Analysis(reader.info, tools, settings, texts)
        for event in reader.events():
            if cancelled():
                return
            yield from analysis.take(event)
        yield from analysis.finish()


def _utterances(data: bytes, tools: Tools) -> list[Utterance]:
    """Return the utterances without their sound: a first pass over the sound alone."""
    with MediaReader(data, tools.limits) as reader:
        if not reader.info.has_sound:
            return []
        detector = VoiceDetector(tools.networks)
        pieces = (event.samples for event in reader.events() if isinstance(event, Sound))
        found = [u for piece in pieces for u in detector.feed(piece)] + [*detector.finish()]
    return [replace(utterance, samples=np.zeros(0, np.float32)) for utterance in found]


class _Analysis:
    """A clip's analysis in progress."""

    def __init__(
        self,
        info: MediaInfo,
        tools: Tools,
        settings: ClipSettings,
        texts: Iterator[str] | None,
    ) -> None:
        self._info = info
        self._tools = tools
        self._settings = settings
        self._texts = texts
        self._detector = VoiceDetector(tools.networks)
        self._looking = info.has_pictures and settings.frame_rate_hz > 0
        self._frames: list[Frame] = []  # not yet looked at
        self._seen: list[_Seen] = []
        self._heard: list[_Heard] = []  # not yet answered
        self._answered: list[tuple[float, Fused]] = []  # seconds, answer
        self._sound_end_s = 0.0
        self._pictures_end_s = 0.0

    def take(self, event: Sound | Frame) -> Iterator[answers.Json]:
        """Take the next piece of media; yield the utterances it completes."""
        if isinstance(event, Sound):
            self._sound_end_s = event.start_s + len(event.samples) / 16_000
            for utterance in self._detector.feed(event.samples):
                self._heard.append(self._listen(utterance))
        else:
            self._pictures_end_s = event.time_s
            self._frames.append(event)
            if len(self._frames) >= FRAMES_AT_ONCE:
                self._look()
        while self._heard and self._past(self._heard[0].end_s):
            yield from self._answer(self._heard.pop(0))

    def finish(self) -> Iterator[answers.Json]:
        """Yield the utterances still waiting, then the summary."""
        for utterance in self._detector.finish():
            self._heard.append(self._listen(utterance))
        if not self._heard and not self._answered:
            self._heard.append(self._without_speech())
        for heard in self._heard:
            yield from self._answer(heard)
        yield self._summary()

    def _past(self, end_s: float) -> bool:
        return not self._looking or self._pictures_end_s >= end_s

    def _listen(self, utterance: Utterance) -> _Heard:
        windows = speech.speech_windows([utterance], utterance.end_s - utterance.start_s)
        words, source = self._words(utterance.samples)
        of_speech = speech.speech_question([windows])
        of_text = text.text_question([words], self._tools.tokenizer) if words else None
        asked = [question for question in (of_speech, of_text) if question]
        networks = self._tools.networks
        got = dict(zip((q.network for q in asked), ask_many(networks, asked), strict=True))
        spoken = speech.spoken([windows], got.get("speech_net"), networks)[0]
        return _Heard(
            utterance.start_s,
            utterance.end_s,
            spoken.evidence(),
            text.sentences([words], got["text_net"], networks)[0].evidence(source)
            if words
            else Absent("no text"),
            words,
        )

    def _words(self, samples: Floats) -> tuple[str, str]:
        if self._texts is not None:
            return next(self._texts, ""), "given"
        if self._tools.transcriber is None or not self._settings.transcribe:
            return "", ""
        words = self._tools.transcriber.words(samples)
        return " ".join(word.text for word in words), self._tools.transcriber.name

    def _without_speech(self) -> _Heard:
        """Return the whole clip as one utterance: nobody speaks in it."""
        end_s = max(self._sound_end_s, self._pictures_end_s, self._info.duration_s or 0.0)
        words = next(self._texts, "") if self._texts is not None else ""
        written: Evidence | Absent = Absent("no text")
        if words:
            question = text.text_question([words], self._tools.tokenizer)
            answer = ask_many(self._tools.networks, [question])[0]
            written = text.sentences([words], answer, self._tools.networks)[0].evidence("given")
        reason = "no speech" if self._info.has_sound else "no audio"
        return _Heard(0.0, end_s, Absent(reason), written, words)

    def _look(self) -> None:
        pictures = [frame.pixels for frame in self._frames]
        detector = DetectorSettings(self._settings.max_side_px, min_face_px=32, border=0.0)
        analyzed = face.analyze_pictures(pictures, self._tools.networks, detector)
        self._seen += [
            _Seen(frame.time_s, faces) for frame, faces in zip(self._frames, analyzed, strict=True)
        ]
        self._frames = []

    def _faces(self, start_s: float, end_s: float) -> Evidence | Absent:
        if not self._looking:
            return Absent("no pictures" if not self._info.has_pictures else "not asked")
        if self._frames and self._frames[0].time_s <= end_s:
            self._look()
        during = [seen.faces for seen in self._seen if start_s <= seen.time_s <= end_s]
        if not during and self._seen:  # shorter than the sampling period: the nearest frame
            middle_s = (start_s + end_s) / 2
            during = [min(self._seen, key=lambda seen: abs(seen.time_s - middle_s)).faces]
        return face.pooled_faces(during)

    def _answer(self, heard: _Heard) -> Iterator[answers.Json]:
        moment = Moment(self._faces(heard.start_s, heard.end_s), heard.speech, heard.text)
        if moment.nothing:
            raise InputError("nothing_to_analyze", f"media: {moment.why_nothing()}")
        fused = fuse([moment], self._tools.networks)[0]
        self._answered.append((max(heard.end_s - heard.start_s, 0.01), fused))
        answered = AnsweredUtterance(heard.start_s, heard.end_s, heard.words, fused)
        yield {"utterance": answered.to_json()}

    def _summary(self) -> answers.Json:
        seconds = np.asarray([length for length, _ in self._answered], np.float32)
        answered = [fused for _, fused in self._answered]
        presence = np.stack([fused.moment.presence for fused in answered]).sum(axis=0)
        duration_s = max(self._sound_end_s, self._pictures_end_s, self._info.duration_s or 0.0)
        return {
            "summary": {
                "duration": round(duration_s, 3),
                "utterances": len(answered),
                "emotions": answers.emotions(_mean([f.emotion for f in answered], seconds)),
                "sentiments": answers.sentiments(_mean([f.sentiment for f in answered], seconds)),
                "modalities": {
                    name: int(count) for name, count in zip(MODALITIES, presence, strict=True)
                },
            },
            "models": dict(self._tools.networks.versions),
        }


def _mean(values: Sequence[Floats], shares: Floats) -> Floats:
    return np.asarray(np.average(np.stack(values), axis=0, weights=shares), np.float32)
