"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.transcribe import Transcribe as TritonPythonModel  # noqa: F401
