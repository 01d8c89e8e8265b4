"""The Python steps and public pipelines: what they take and give, and how Triton runs them.

The tables of docs/contracts.md, as data; `emoserve export --check` holds the two together.
"""

from dataclasses import dataclass

from emoserve_export.declaration import Serving, Tensor, axes

_DEFAULT = Serving(max_batch_size=32)
# Preferred batches are as large as pays on a CPU, no larger: who shares a batch waits for all of it
# (docs/decisions.md 8).


@dataclass(frozen=True)
class Step:
    """A Triton model of the Python backend.

    Attributes:
        adapter: the module and class of `emoserve_ensemble.steps` that answers.
        networks: the networks it asks in process (profile cpu) or through Triton (gpu).
        concurrent: with its networks in process, one instance works off as many portions at the
            same time as there would be instances.
        decoupled: answers one request with several responses.
        files: files in its version folder, which the export puts there.
    """

    name: str
    adapter: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    serving: Serving = _DEFAULT
    networks: tuple[str, ...] = ()
    concurrent: bool = False
    decoupled: bool = False
    files: tuple[str, ...] = ()


def _bytes(name: str, optional: bool = False, batched: bool = True, **size: int) -> Tensor:
    before = axes("batch") if batched else ()
    return Tensor(name, "bytes", (*before, *axes(**(size or {"one": 1}))), optional=optional)


def _floats(name: str, *dynamic: str, **sized: int) -> Tensor:
    return Tensor(name, "float32", axes("batch", *dynamic, **sized))


_COUNT = Tensor("count", "int32", axes("batch", one=1))
_FACE_NETWORKS = ("face_pnet", "face_rnet", "face_onet", "face_net")
_ALL_NETWORKS = (*_FACE_NETWORKS, "speech_net", "text_net", "fusion_net")

FACE = Step(
    "face",
    "face.Face",
    (_bytes("image"),),
    (
        _bytes("answer"),
        _COUNT,
        _floats("boxes", "faces", corner=4),
        _floats("emotion", "faces", classes=7),
        _floats("embedding", "faces", embedding=128),
    ),
    Serving(max_batch_size=32, preferred_batch_size=12, instances=2),
    _FACE_NETWORKS,
    concurrent=True,
)
SPEECH = Step(
    "speech",
    "speech.Speech",
    (_bytes("audio"),),
    (_bytes("answer"), _floats("emotion", classes=7), _floats("embedding", embedding=128)),
    Serving(max_batch_size=32, preferred_batch_size=4, instances=2),
    ("voice_net", "speech_net"),
)
TEXT = Step(
    "text",
    "text.Text",
    (_bytes("text"),),
    (
        _bytes("answer"),
        _floats("emotion", classes=7),
        _floats("sentiment", classes=3),
        _floats("embedding", embedding=128),
    ),
    Serving(max_batch_size=32, preferred_batch_size=8, delayed_batch_size=4, instances=2),
    ("text_net",),
)
EMOTION = Step(
    "emotion",
    "emotion.Emotion",
    (
        Tensor("images", "bytes", axes("batch", "images"), optional=True),
        _bytes("audio", optional=True),
        _bytes("text", optional=True),
    ),
    (
        _bytes("answer"),
        _floats("emotion", classes=7),
        _floats("sentiment", classes=3),
        _floats("presence", modality=3),
    ),
    Serving(max_batch_size=32, preferred_batch_size=2, instances=2),
    (*_ALL_NETWORKS, "voice_net"),
    concurrent=True,
)
VIDEO = Step(
    "video",
    "video.Video",
    tuple(
        _bytes(name, optional=True, batched=False)
        for name in ("media", "media_base64", "transcript", "options")
    ),
    (_bytes("answer", batched=False),),
    Serving(max_batch_size=0, instances=2, max_queue_size=16),
    (*_ALL_NETWORKS, "voice_net"),
    concurrent=True,
    decoupled=True,
)
TRANSCRIBE = Step(
    "transcribe",
    "transcribe.Transcribe",
    (_bytes("audio"),),
    (_bytes("answer"),),
    networks=("voice_net",),
)
FACE_DETECT = Step(
    "face_detect",
    "face_detect.FaceDetect",
    (_bytes("image"),),
    (
        _COUNT,
        _floats("boxes", "faces", corner=4),
        _floats("detection", "faces"),
        Tensor("faces", "float32", axes("batch", "faces", channel=1, height=48, width=48)),
    ),
    networks=_FACE_NETWORKS[:3],
)
SPEECH_FEATURES = Step(
    "speech_features",
    "speech.SpeechFeatures",
    (_bytes("audio"),),
    (
        _COUNT,
        _floats("windows", "windows", time=2),
        _floats("log_mel", "windows", mels=64, frames=300),
    ),
    networks=("voice_net",),
)
TEXT_TOKENS = Step(
    "text_tokens",
    "text.TextTokens",
    (_bytes("text"),),
    (
        Tensor("input_ids", "int64", axes("batch", "tokens")),
        Tensor("attention_mask", "int64", axes("batch", "tokens")),
    ),
    files=("tokenizer.json",),
)
TEXT_ANSWER = Step(
    "text_answer",
    "text.TextAnswer",
    (_floats("emotion", classes=7), _floats("sentiment", classes=3)),
    (_bytes("answer"), _floats("emotion", classes=7), _floats("sentiment", classes=3)),
)

STEPS: tuple[Step, ...] = (
    FACE,
    SPEECH,
    TEXT,
    EMOTION,
    VIDEO,
    TRANSCRIBE,
    FACE_DETECT,
    SPEECH_FEATURES,
    TEXT_TOKENS,
    TEXT_ANSWER,
)
