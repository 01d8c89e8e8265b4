"""Pictures, sound and text of one moment to one answer; any non-empty subset of the three."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from emoserve_ensemble import face, faces, fusion, speech, text
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Absent, Evidence, Fused, Moment, fuse
from emoserve_ensemble.networks import ask_many
from emoserve_ensemble.tools import Tools

NETWORKS = (*faces.NETWORKS, *speech.NETWORKS, *text.NETWORKS, *fusion.NETWORKS)


Part: TypeAlias = Evidence | Absent | InputError


@dataclass(frozen=True)
class Given:
    """What a caller sends of one moment: encoded bytes; empty or None stands for absent."""

    images: tuple[bytes, ...] = ()
    audio: bytes | None = None
    text: bytes | None = None


def analyze_moments(given: Sequence[Given], tools: Tools) -> list[Fused | InputError]:
    """Return the fused answer of each moment, or why there is none; in order.

    All pictures, windows and texts of the batch reach each network together.
    """
    missing = Absent("not given")
    cut = iter(speech.cut_sounds([moment.audio for moment in given if moment.audio], tools))
    sounds = [next(cut) if moment.audio else missing for moment in given]
    words = [text.text_or_error(m.text, tools) if m.text else missing for m in given]
    images = [image for moment in given for image in moment.images if image]
    with face.images_ahead(images, tools) as found:
        heard, read = _heard_and_read(sounds, words, tools)  # meanwhile
        seen = _faces(given, found())
    parts = [_moment(*row) for row in zip(seen, heard, read, strict=True)]
    moments = [part for part in parts if isinstance(part, Moment)]
    fused = iter(fuse(moments, tools.networks))
    return [part if isinstance(part, InputError) else next(fused) for part in parts]


def _faces(given: Sequence[Given], seen: Sequence[faces.Faces | InputError]) -> list[Part]:
    analyzed = iter(seen)
    parts: list[Part] = []
    for moment in given:
        mine = [next(analyzed) for image in moment.images if image]
        broken = [item for item in mine if isinstance(item, InputError)]
        good = [item for item in mine if not isinstance(item, InputError)]
        if broken:
            parts.append(broken[0])
        else:
            parts.append(face.pooled_faces(good) if good else Absent("not given"))
    return parts


def _heard_and_read(
    sounds: Sequence[speech.Windows | Absent | InputError],
    words: Sequence[str | Absent | InputError],
    tools: Tools,
) -> tuple[list[Part], list[Part]]:
    """Ask the speech and the text network at the same time."""
    cut = [item for item in sounds if isinstance(item, speech.Windows)]
    texts = [item for item in words if isinstance(item, str)]
    of_speech = speech.speech_questions(cut)
    of_text = text.text_questions(texts, tools)
    got = ask_many(tools.networks, [*of_speech, *of_text.questions])
    spoken = iter(speech.spoken(cut, got[: len(of_speech)], tools.networks))
    written = iter(text.sentences(texts, of_text, got[len(of_speech) :], tools.networks))
    return (
        [next(spoken).evidence() if isinstance(item, speech.Windows) else item for item in sounds],
        [next(written).evidence("given") if isinstance(item, str) else item for item in words],
    )


def _moment(seen: Part, heard: Part, read: Part) -> Moment | InputError:
    parts: list[Evidence | Absent] = []
    for part in (seen, heard, read):
        if isinstance(part, InputError):
            return part
        parts.append(part)
    moment = Moment(*parts)
    if not moment.nothing:
        return moment
    if all(isinstance(part, Absent) and part.reason == "not given" for part in parts):
        return InputError("nothing_given", "give at least one of images, audio and text")
    return InputError("nothing_to_analyze", moment.why_nothing())
