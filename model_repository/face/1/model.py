"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.face import Face as TritonPythonModel  # noqa: F401
