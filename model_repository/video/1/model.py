"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.video import Video as TritonPythonModel  # noqa: F401
