"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.speech import SpeechFeatures as TritonPythonModel  # noqa: F401
