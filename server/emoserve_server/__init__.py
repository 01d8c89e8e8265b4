"""The embedded server: a real Triton from a wheel, started and stopped like a file is opened.

from emoserve_server import EmbeddedTriton

with EmbeddedTriton("model_repository", http_port=0, grpc_port=0, metrics_port=0) as triton:
    print(triton.grpc_url)
"""

from emoserve_server._embedded import EmbeddedTriton
from emoserve_server._errors import (
    MachineError,
    PortTakenError,
    RepositoryError,
    ServerError,
    StartError,
)
from emoserve_server._health import ModelState

__all__ = [
    "EmbeddedTriton",
    "MachineError",
    "ModelState",
    "PortTakenError",
    "RepositoryError",
    "ServerError",
    "StartError",
]
