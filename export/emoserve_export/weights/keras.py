"""Keras HDF5 weights as PyTorch tensors: `layer.weight`, with the axes in PyTorch's order.

Names follow Keras's layers, so a module whose attributes are called like the layers loads them
without a map. Layouts: https://keras.io/api/layers/ (kernels of convolutions are height, width,
in, out; of dense layers in, out).
"""

import io

import numpy as np
import torch

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.errors import CheckpointError, UnavailableError
from emoserve_export.weights.formats import State

NORMS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
NORMS["moving_variance"] = "running_var"


def read_keras(data: bytes, name: str) -> State:
    """Return the weights of a Keras HDF5 file (whole model or weights only).

    A layer's `kernel` becomes `layer.weight`; the two kernels of a separable convolution become
    `layer.depthwise.weight` and `layer.pointwise.weight`.

    Raises:
        UnavailableError: h5py is not installed.
        CheckpointError: not HDF5 weights by layer, or a kind of weight that is not known.
    """
    try:
        import h5py
    except ImportError as err:
        raise UnavailableError("Keras weights need h5py: pip install h5py") from err
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            group = file.get("model_weights", file)
            found = _by_layer(group, h5py.Dataset)
    except OSError as err:
        raise CheckpointError(name, [f"damaged HDF5: {err}"]) from err
    if not found:
        raise CheckpointError(name, ["no weights by layer in this HDF5 file"])
    state: State = {}
    for (layer, variable), array in found.items():
        state.update(_converted(layer, variable, array, name))
    return state


def _by_layer(group: object, leaf: type) -> dict[tuple[str, str], Array]:
    """Return arrays by (layer, variable): of `conv/conv/kernel:0`, ("conv", "kernel")."""
    found: dict[tuple[str, str], Array] = {}

    def visit(path: str, item: object) -> None:
        if isinstance(item, leaf):
            variable = path.rsplit("/", 1)[-1].split(":")[0]
            found[path.split("/", 1)[0], variable] = np.asarray(item)

    group.visititems(visit)  # type: ignore[attr-defined]
    return found


def _converted(layer: str, variable: str, array: Array, name: str) -> State:
    if variable in NORMS:
        return {f"{layer}.{NORMS[variable]}": _tensor(array)}
    if variable == "bias":
        return {f"{layer}.bias": _tensor(array)}
    if variable == "kernel" and array.ndim == 2:
        return {f"{layer}.weight": _tensor(array.T)}
    if variable in ("kernel", "pointwise_kernel") and array.ndim == 4:
        # [height, width, in, out] -> [out, in, height, width]
        inner = "pointwise." if variable == "pointwise_kernel" else ""
        return {f"{layer}.{inner}weight": _tensor(array.transpose(3, 2, 0, 1))}
    if variable == "depthwise_kernel" and array.ndim == 4:
        # [height, width, in, multiplier] -> [in * multiplier, 1, height, width]
        moved = array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])
        return {f"{layer}.depthwise.weight": _tensor(moved)}
    raise CheckpointError(name, [f"{layer}/{variable}: unknown kind, shape {list(array.shape)}"])


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
