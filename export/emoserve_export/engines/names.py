"""TensorRT's Python module, imported only when it is needed.

A test holds every name that this package uses against the bindings of TensorRT 10 and 11.
"""

import importlib
from typing import Any

from emoserve_export.errors import UnavailableError

CONTAINER = "tensorrt:26.07-py3"  # of the month of the production image (server/Dockerfile)


def tensorrt() -> Any:
    """Return the `tensorrt` module.

    Raises:
        UnavailableError: it or its libraries are not here; says which container has them.
    """
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as err:
        raise UnavailableError(
            f"TensorRT is not here ({err}). Its libraries come with NVIDIA's container "
            f"{CONTAINER}; run `emoserve export --target tensorrt` there, on the GPU that will "
            "serve, over a repository that is exported already"
        ) from err


def trt_version(trt: Any) -> str:
    """Return TensorRT's version."""
    return str(trt.__version__)
