"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.face_detect import FaceDetect as TritonPythonModel  # noqa: F401
