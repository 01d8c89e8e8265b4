"""The command line of tritonserver, after its secure deployment guide.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/customization_guide/deploy.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoserve_server._assembly import Assembly

_MAX_REQUEST_BYTES = 512 * 1024 * 1024  # a clip of several minutes
_STUB_TIMEOUT_S = 120  # importing onnxruntime, OpenCV and PyAV on a busy machine


@dataclass(frozen=True)
class Listeners:
    """The address and the three ports of a server."""

    host: str
    http_port: int
    grpc_port: int
    metrics_port: int

    def authority(self, port: int) -> str:
        """Return `host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def has_gpu() -> bool:
    """Return whether the NVIDIA driver shows a device."""
    return Path("/dev/nvidiactl").exists()


def tritonserver_command(
    assembly: Assembly,
    repository: Path,
    listeners: Listeners,
    *,
    shm_prefix: str,
    exit_timeout_s: float,
    models: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command; flags of ours that this tritonserver does not know are left out.

    `models` are loaded alone; without any, the whole repository is.

    Raises:
        ValueError: an extra argument is an option that it does not know.
    """
    for argument in extra:
        if argument.startswith("--") and argument.split("=", 1)[0] not in assembly.flags:
            raise ValueError(f"tritonserver 2.51 has no option {argument.split('=', 1)[0]}")
    ours = [
        f"--model-repository={repository}",
        f"--backend-directory={assembly.backends}",
        f"--cache-directory={assembly.caches}",
        f"--http-address={listeners.host}",
        f"--http-port={listeners.http_port}",
        f"--grpc-address={listeners.host}",
        f"--grpc-port={listeners.grpc_port}",
        f"--metrics-address={listeners.host}",
        f"--metrics-port={listeners.metrics_port}",
        f"--exit-timeout-secs={math.ceil(exit_timeout_s)}",
        *_security(),
        *_models(models),
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=python,stub-timeout-seconds={_STUB_TIMEOUT_S}",
        *([] if has_gpu() else _no_gpu()),
    ]
    return [str(assembly.tritonserver), *_known(ours, assembly.flags), *extra]


def _security() -> list[str]:
    return [
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--disable-auto-complete-config",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        f"--http-max-input-size={_MAX_REQUEST_BYTES}",
        "--grpc-max-response-pool-size=64",
    ]


def _models(names: Sequence[str]) -> list[str]:
    if not names:
        return ["--model-control-mode=none"]
    return ["--model-control-mode=explicit", *(f"--load-model={name}" for name in names)]


def _no_gpu() -> list[str]:
    return ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"]


def _known(arguments: Iterable[str], flags: frozenset[str]) -> list[str]:
    return [argument for argument in arguments if argument.split("=", 1)[0] in flags]
