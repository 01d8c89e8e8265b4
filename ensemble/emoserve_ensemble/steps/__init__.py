"""The classes that Triton's Python backend loads: each `1/model.py` imports one of them.

A step is `decode -> predict -> encode`; only the outer two know Triton.
Importable only inside Triton's Python backend.
"""

from emoserve_ensemble.steps.emotion import Emotion
from emoserve_ensemble.steps.face import Face, FaceDetect
from emoserve_ensemble.steps.speech import Speech, SpeechFeatures
from emoserve_ensemble.steps.text import Text, TextAnswer, TextTokens
from emoserve_ensemble.steps.transcribe import Transcribe
from emoserve_ensemble.steps.video import Video

__all__ = [
    "Emotion",
    "Face",
    "FaceDetect",
    "Speech",
    "SpeechFeatures",
    "Text",
    "TextAnswer",
    "TextTokens",
    "Transcribe",
    "Video",
]
