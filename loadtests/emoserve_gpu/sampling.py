"""What the machine does while a load lasts: the GPU by NVML, the server's processes by psutil."""

from __future__ import annotations

import importlib
import importlib.util
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

_PERIOD_S = 0.1


@dataclass(frozen=True)
class Usage:
    """Means over a load; the GPU's are None where there is none.

    Attributes:
        gpu_share: of the time in which a kernel ran (NVML's utilisation), 0 to 1.
        gpu_memory_mib: the most in use on the device.
        server_cores: processor seconds of the server and its steps per second.
        generator_cores: the same of this process and the load generator.
    """

    gpu_share: float | None
    gpu_memory_mib: float | None
    server_cores: float
    generator_cores: float


class Gpu:
    """The first GPU through NVML, where there is one."""

    def __init__(self) -> None:
        self._nvml: Any = None
        if importlib.util.find_spec("pynvml") is None:
            return
        nvml: Any = importlib.import_module("pynvml")
        try:
            nvml.nvmlInit()
            self._device = nvml.nvmlDeviceGetHandleByIndex(0)
        except nvml.NVMLError:
            return  # no driver, or no device
        self._nvml = nvml

    @property
    def name(self) -> str:
        """Its name and driver, or "none"."""
        if self._nvml is None:
            return "none"
        found, driver = (
            text.decode() if isinstance(text, bytes) else str(text)
            for text in (
                self._nvml.nvmlDeviceGetName(self._device),
                self._nvml.nvmlSystemGetDriverVersion(),
            )
        )
        return f"{found}, driver {driver}"

    def read(self) -> tuple[float, float] | None:
        """Return utilisation as a share and memory in MiB, None without a GPU."""
        if self._nvml is None:
            return None
        rates = self._nvml.nvmlDeviceGetUtilizationRates(self._device)
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._device)
        return rates.gpu / 100, memory.used / 2**20


class Sampler:
    """Samples while its `with` block runs; `usage` has the means afterwards."""

    def __init__(self, gpu: Gpu, server_pid: int) -> None:
        self._gpu, self._over = gpu, threading.Event()
        self._server, self._own = psutil.Process(server_pid), psutil.Process()
        self._seen: list[tuple[float, float]] = []

    def __enter__(self) -> Sampler:
        self._began_s = time.monotonic()
        self._before = _cpu_s(self._server), _cpu_s(self._own)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        seconds = time.monotonic() - self._began_s
        server, own = (
            round((_cpu_s(process) - before) / seconds, 2)
            for process, before in zip((self._server, self._own), self._before, strict=True)
        )
        shares, memory = zip(*self._seen, strict=True) if self._seen else ((), ())
        generator = round(max(0.0, own - server), 2)  # the server is a child of this process
        busy = sum(shares) / len(shares) if shares else None
        self.usage = Usage(busy, max(memory, default=None), server, generator)

    def _watch(self) -> None:
        while not self._over.wait(_PERIOD_S):
            if (seen := self._gpu.read()) is not None:
                self._seen.append(seen)


def _cpu_s(root: psutil.Process) -> float:
    """Processor seconds of a process and all below it, so far."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
