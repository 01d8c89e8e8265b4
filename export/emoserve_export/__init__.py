"""Trained networks to a Triton model repository that answers like them.

A network is a declaration; `emoserve export` turns it into a checked ONNX graph, a config and a
golden request, and publishes nothing that does not answer like the trained network.
"""

from emoserve_export.declaration import (
    Axis,
    Budget,
    Evaluation,
    Labels,
    Network,
    Preprocessing,
    Serving,
    Tensor,
    Tolerance,
    axes,
)
from emoserve_export.weights.huggingface import hugging_face
from emoserve_export.weights.source import Checkpoint, WheelMember

__all__ = [
    "Axis",
    "Budget",
    "Checkpoint",
    "Evaluation",
    "Labels",
    "Network",
    "Preprocessing",
    "Serving",
    "Tensor",
    "Tolerance",
    "WheelMember",
    "axes",
    "hugging_face",
]
