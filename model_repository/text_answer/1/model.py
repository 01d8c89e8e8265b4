"""Triton loads this file; the step itself is in `emoserve_ensemble.steps`."""

from emoserve_ensemble.steps.text import TextAnswer as TritonPythonModel  # noqa: F401
