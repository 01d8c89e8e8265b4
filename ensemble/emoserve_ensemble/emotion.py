"""Pictures, sound and text of one moment to one answer; any non-empty subset of the three."""

from collections.abc import Sequence
from dataclasses import dataclass

from emoserve_ensemble import face, fusion, speech, text
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.fusion import Absent, Evidence, Fused, Moment, fuse
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks, ask_many
from emoserve_ensemble.tokens import Tokenizer

NETWORKS = (*face.NETWORKS, *speech.NETWORKS, *text.NETWORKS, *fusion.NETWORKS)


@dataclass(frozen=True)
class Given:
    """What a caller sends of one moment: encoded bytes; empty or None stands for absent."""

    images: tuple[bytes, ...] = ()
    audio: bytes | None = None
    text: bytes | None = None


def analyze_moments(
    given: Sequence[Given], networks: Networks, tokenizer: Tokenizer, limits: Limits
) -> list[Fused | InputError]:
    """Return the fused answer of each moment, or why there is none; in order.

    All pictures, windows and texts of the batch reach each network together.
    """
    faces = _faces(given, networks, limits)
    sounds, words = _sounds_and_words(given, networks, tokenizer, limits)
    parts = [_moment(*row) for row in zip(faces, sounds, words, strict=True)]
    fused = iter(fuse([part for part in parts if isinstance(part, Moment)], networks))
    return [part if isinstance(part, InputError) else next(fused) for part in parts]


Part = Evidence | Absent | InputError


def _faces(given: Sequence[Given], networks: Networks, limits: Limits) -> list[Part]:
    images = [image for moment in given for image in moment.images if image]
    analyzed = iter(face.analyze_images(images, networks, limits) if images else [])
    parts: list[Part] = []
    for moment in given:
        mine = [next(analyzed) for image in moment.images if image]
        broken = [item for item in mine if isinstance(item, InputError)]
        seen = [item for item in mine if not isinstance(item, InputError)]
        if broken:
            parts.append(broken[0])
        else:
            parts.append(face.pooled_faces(seen) if seen else Absent("not given"))
    return parts


def _sounds_and_words(
    given: Sequence[Given], networks: Networks, tokenizer: Tokenizer, limits: Limits
) -> tuple[list[Part], list[Part]]:
    """Ask the speech and the text network at the same time."""
    sounds = [_windows(moment, networks, limits) for moment in given]
    words = [_text(moment, limits) for moment in given]
    heard = [item for item in sounds if isinstance(item, speech.Windows)]
    read = [item for item in words if isinstance(item, str)]
    of_speech = speech.speech_question(heard)
    of_text = text.text_question(read, tokenizer) if read else None
    asked = [question for question in (of_speech, of_text) if question]
    answers = dict(zip((q.network for q in asked), ask_many(networks, asked), strict=True))
    spoken = iter(speech.spoken(heard, answers.get("speech_net"), networks))
    written = iter(text.sentences(read, answers["text_net"], networks) if read else [])
    return (
        [next(spoken).evidence() if isinstance(item, speech.Windows) else item for item in sounds],
        [next(written).evidence("given") if isinstance(item, str) else item for item in words],
    )


def _windows(
    moment: Given, networks: Networks, limits: Limits
) -> speech.Windows | Absent | InputError:
    if not moment.audio:
        return Absent("not given")
    try:
        return speech.sound_windows(moment.audio, networks, limits)
    except InputError as error:
        return error


def _text(moment: Given, limits: Limits) -> str | Absent | InputError:
    if not moment.text:
        return Absent("not given")
    try:
        return text.decode_text(moment.text, limits)
    except InputError as error:
        return error


def _moment(seen: Part, heard: Part, read: Part) -> Moment | InputError:
    for part in (seen, heard, read):
        if isinstance(part, InputError):
            return part
    moment = Moment(seen, heard, read)  # type: ignore[arg-type]
    if not moment.nothing:
        return moment
    if all(isinstance(part, Absent) and part.reason == "not given" for part in moment.parts):
        return InputError("nothing_given", "give at least one of images, audio and text")
    return InputError("nothing_to_analyze", moment.why_nothing())
