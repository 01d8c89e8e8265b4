"""The limit: the same network in plain torch, in this process, with nothing around it.

Eager, or `torch.compile` when asked for; no CUDA graphs. TF32 is on, as it is by default in ONNX
Runtime's CUDA provider, so that both do the same arithmetic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from emoserve_export.conversion import build_module
from emoserve_export.declaration import Arrays, Network

_WARM_CALLS = 5


@dataclass(frozen=True)
class RawRate:
    """Items per second at one batch size, and how long a batch takes.

    Attributes:
        resident: the inputs lie on the device and the outputs stay there; else both are numpy
            arrays in the host's memory, as a server has them.
    """

    network: str
    batch: int
    resident: bool
    items_per_s: float
    p50_ms: float
    p99_ms: float


class RawNetwork:
    """A trained network in torch on a device, set up for inference."""

    def __init__(self, network: Network, device: str, *, compiled: bool = False) -> None:
        torch.set_num_threads(1)  # what an instance has; on a GPU it only launches
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        module = build_module(network)
        if network.prepare:
            getattr(module, network.prepare)()
        self._network, self._device = network, torch.device(device)
        self._module: Any = module.to(self._device)
        if compiled:
            self._module = torch.compile(self._module)

    def answer(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name: numpy in, numpy out."""
        with torch.inference_mode():
            values = self._module(*self._on_device(inputs))
        values = values if isinstance(values, tuple | list) else (values,)
        names = [tensor.name for tensor in self._network.outputs]
        return {name: value.cpu().numpy() for name, value in zip(names, values, strict=True)}

    def rate(self, inputs: Arrays, seconds: float, *, resident: bool) -> RawRate:
        """Return the rate and the time of a batch, each measured for half of `seconds`."""
        batch = len(next(iter(inputs.values())))
        tensors = self._on_device(inputs)

        def call() -> None:
            if resident:
                with torch.inference_mode():
                    self._module(*tensors)
            else:
                self.answer(inputs)

        for _ in range(_WARM_CALLS):
            call()
        self._wait()
        times_s = self._each(call, seconds / 2)
        rate = self._together(call, seconds / 2, float(np.median(times_s))) * batch
        p50, p99 = np.percentile(times_s, (50, 99)) * 1000
        return RawRate(self._network.name, batch, resident, rate, float(p50), float(p99))

    def _each(self, call: Any, seconds: float) -> list[float]:
        """Return how long each call took, waited for one by one."""
        times_s: list[float] = []
        until_s = time.perf_counter() + seconds
        while not times_s or time.perf_counter() < until_s:
            began_s = time.perf_counter()
            call()
            self._wait()
            times_s.append(time.perf_counter() - began_s)
        return times_s

    def _together(self, call: Any, seconds: float, each_s: float) -> float:
        """Return calls per second when the device is waited for at the end only."""
        count = max(1, round(seconds / each_s))
        began_s = time.perf_counter()
        for _ in range(count):
            call()
        self._wait()
        return count / (time.perf_counter() - began_s)

    def _on_device(self, inputs: Arrays) -> list[torch.Tensor]:
        return [
            torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])).to(self._device)
            for tensor in self._network.inputs
        ]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
