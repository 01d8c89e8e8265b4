"""emoserve's client: emotions from pictures, sound, words and clips, from a Triton server.

>>> from emoserve_client import EmotionClient
>>> with EmotionClient("grpc://127.0.0.1:8001") as client:
...     analysis = client.video("clip.mp4")
"""

from emoserve_client._async_client import AsyncEmotionClient
from emoserve_client._client import EmotionClient
from emoserve_client._hooks import AttemptEnd, AttemptStart, Call, CallEnd, Hook
from emoserve_client._metadata import (
    Duration,
    ModelInfo,
    ModelState,
    ModelStatistics,
    ServerInfo,
    TensorSpec,
)
from emoserve_client._model import AsyncModel, Model
from emoserve_client._pool import Ejection
from emoserve_client._request import Reply
from emoserve_client._results import (
    EMOTIONS,
    MODALITIES,
    SENTIMENTS,
    EmotionAnalysis,
    Face,
    FaceAnalysis,
    Frame,
    Modality,
    Person,
    Score,
    Scores,
    Segment,
    SpeechAnalysis,
    SpeechWindow,
    SpokenText,
    Summary,
    TextAnalysis,
    Transcript,
    Utterance,
    VideoAnalysis,
    Word,
)
from emoserve_client._retry import Breaker, Retry
from emoserve_client._streams import AsyncVideoStream, VideoStream
from emoserve_client._tls import Tls
from emoserve_client._version import __version__
from emoserve_client.errors import (
    AccessDeniedError,
    Attempt,
    CircuitOpenError,
    DeadlineError,
    EmoserveError,
    InputError,
    ModelNotFoundError,
    NoAnswerError,
    OverloadedError,
    ServerError,
    UnreachableError,
    UntrustedError,
    WrongAnswerError,
)

__all__ = [
    "EMOTIONS",
    "MODALITIES",
    "SENTIMENTS",
    "AccessDeniedError",
    "AsyncEmotionClient",
    "AsyncModel",
    "AsyncVideoStream",
    "Attempt",
    "AttemptEnd",
    "AttemptStart",
    "Breaker",
    "Call",
    "CallEnd",
    "CircuitOpenError",
    "DeadlineError",
    "Duration",
    "Ejection",
    "EmoserveError",
    "EmotionAnalysis",
    "EmotionClient",
    "Face",
    "FaceAnalysis",
    "Frame",
    "Hook",
    "InputError",
    "Modality",
    "Model",
    "ModelInfo",
    "ModelNotFoundError",
    "ModelState",
    "ModelStatistics",
    "NoAnswerError",
    "OverloadedError",
    "Person",
    "Reply",
    "Retry",
    "Score",
    "Scores",
    "Segment",
    "ServerError",
    "ServerInfo",
    "SpeechAnalysis",
    "SpeechWindow",
    "SpokenText",
    "Summary",
    "TensorSpec",
    "TextAnalysis",
    "Tls",
    "Transcript",
    "UnreachableError",
    "UntrustedError",
    "Utterance",
    "VideoAnalysis",
    "VideoStream",
    "Word",
    "WrongAnswerError",
    "__version__",
]
