"""The four reference networks as plain modules; forward gives the contract's outputs in order."""

from emoserve_export.networks.face import FaceNet, FaceOutput
from emoserve_export.networks.fusion import FusionNet, FusionOutput
from emoserve_export.networks.speech import SpeechNet, SpeechOutput
from emoserve_export.networks.text import TextNet, TextOutput

__all__ = [
    "FaceNet",
    "FaceOutput",
    "FusionNet",
    "FusionOutput",
    "SpeechNet",
    "SpeechOutput",
    "TextNet",
    "TextOutput",
]
