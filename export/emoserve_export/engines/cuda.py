"""As much of the CUDA runtime as running an engine needs, through ctypes: no further package.

https://docs.nvidia.com/cuda/cuda-runtime-api/ (device management, memory management)
"""

import ctypes
import ctypes.util
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.errors import UnavailableError

LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, ...Minor
_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost


class Cuda:
    """The CUDA runtime and its current device.

    Args:
        libraries: names or paths of libcudart to try in order.

    Raises:
        UnavailableError: there is no such library or no device.
    """

    def __init__(self, libraries: Sequence[str | Path] = LIBRARIES) -> None:
        self._runtime = _loaded(libraries)
        self._runtime.cudaGetErrorString.restype = ctypes.c_char_p
        count = ctypes.c_int()
        self._check(self._runtime.cudaGetDeviceCount(ctypes.byref(count)))
        if count.value == 0:
            raise UnavailableError("this machine has no CUDA device")

    def compute_capability(self) -> str:
        """Return such as `9.0`, the key under which Triton looks for a plan."""
        return ".".join(str(self._attribute(kind)) for kind in (_MAJOR, _MINOR))

    def _attribute(self, kind: int) -> int:
        value = ctypes.c_int()
        self._check(self._runtime.cudaDeviceGetAttribute(ctypes.byref(value), kind, 0))
        return value.value

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        self._check(self._runtime.cudaDeviceSynchronize())

    def allocate(self, size_bytes: int) -> int:
        """Return the address of device memory."""
        pointer = ctypes.c_void_p()
        self._check(self._runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size_bytes)))
        return int(pointer.value or 0)

    def free(self, pointer: int) -> None:
        """Give device memory back."""
        self._check(self._runtime.cudaFree(ctypes.c_void_p(pointer)))

    def upload(self, pointer: int, array: Array) -> None:
        """Copy a contiguous array to the device."""
        self._copy(pointer, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def download(self, array: Array, pointer: int) -> None:
        """Copy from the device into a contiguous array."""
        self._copy(array.ctypes.data, pointer, array.nbytes, _TO_HOST)

    def _copy(self, target: int, source: int, size_bytes: int, kind: int) -> None:
        size = ctypes.c_size_t(size_bytes)
        where = ctypes.c_void_p(target), ctypes.c_void_p(source)
        self._check(self._runtime.cudaMemcpy(*where, size, kind))

    def _check(self, code: int) -> None:
        if code:
            reason = self._runtime.cudaGetErrorString(code).decode()
            raise UnavailableError(f"CUDA says: {reason} (error {code})")


def _loaded(libraries: Sequence[str | Path]) -> ctypes.CDLL:
    for name in libraries:
        try:
            return ctypes.CDLL(str(name))
        except OSError:
            continue
    raise UnavailableError(f"no CUDA runtime: none of {[str(name) for name in libraries]} loads")


class DeviceArray:
    """Device memory for one tensor; a `with` block."""

    def __init__(self, cuda: Cuda, shape: Sequence[int], dtype: np.dtype[np.generic]) -> None:
        self._cuda = cuda
        self._host = np.empty(tuple(shape), dtype)
        self.pointer = cuda.allocate(max(1, self._host.nbytes))

    def __enter__(self) -> "DeviceArray":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cuda.free(self.pointer)

    def put(self, values: Array) -> None:
        """Copy values to the device."""
        np.copyto(self._host, values)
        self._cuda.upload(self.pointer, self._host)

    def get(self) -> Array:
        """Return the values on the device."""
        self._cuda.download(self._host, self.pointer)
        return self._host.copy()
