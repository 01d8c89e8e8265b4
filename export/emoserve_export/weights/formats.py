"""Checkpoint bytes to named tensors. The format is told by content; pickle never runs code.

safetensors       an 8-byte header length and JSON
state_dict        torch.save of a dict of tensors, read with `weights_only=True`
Lightning         torch.save of a dict with a `state_dict`, and its `model.` prefixes
Keras HDF5        weights by layer, with the axes moved to PyTorch's order
"""

import io
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch

from emoserve_export.errors import CheckpointError

Format: TypeAlias = Literal["safetensors", "torch", "keras", "onnx"]
State: TypeAlias = dict[str, torch.Tensor]

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"  # torch.save before 1.6, or a plain pickle


def format_of(data: bytes) -> Format | None:
    """Return the format that the first bytes speak of, or None."""
    if data.startswith(HDF5_MAGIC):
        return "keras"
    if data.startswith((ZIP_MAGIC, PICKLE_MAGIC)):
        return "torch"
    if len(data) > 9 and data[8:9] == b"{" and struct.unpack("<Q", data[:8])[0] < len(data):
        return "safetensors"
    # A protobuf ModelProto begins with field 1, ir_version: a varint below 128.
    if data[:1] == b"\x08" and len(data) > 2 and data[1] < 128:
        return "onnx"
    return None


def read_state(data: bytes, name: str) -> State:
    """Return the tensors of a checkpoint by name.

    Raises:
        CheckpointError: unknown format, a damaged file, or a pickle that would run code.
    """
    kind = format_of(data)
    if kind == "safetensors":
        return _read_safetensors(data, name)
    if kind == "torch":
        return _read_torch(data, name)
    if kind == "keras":
        from emoserve_export.weights.keras import read_keras

        return read_keras(data, name)
    found = "an ONNX graph, which has no module to load it into" if kind else "none of them"
    accepted = "safetensors, torch.save (state_dict or Lightning), Keras HDF5"
    raise CheckpointError(name, [f"accepted are {accepted}; its content is {found}"])


def _read_safetensors(data: bytes, name: str) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(data))
    except SafetensorError as err:
        raise CheckpointError(name, [f"damaged safetensors: {err}"]) from err


def _read_torch(data: bytes, name: str) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old storage classes it can still read
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        # torch's own words go on to advise how to load it all the same.
        found = re.search(r"GLOBAL [\w.]+|Unsupported [^.\n]+", str(err))
        what = f" (found: {found[0]})" if found else ""
        raise CheckpointError(
            name, [f"a pickle that carries code or classes is never loaded{what}"]
        ) from err
    except (RuntimeError, EOFError, ValueError, KeyError) as err:
        raise CheckpointError(name, [f"damaged torch file: {err}"]) from err
    return _tensors(content, name)


def _tensors(content: Any, name: str) -> State:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        return _without_common_prefix(_tensors(content["state_dict"], name))
    if not isinstance(content, Mapping):
        raise CheckpointError(name, [f"expected a state_dict, found {type(content).__name__}"])
    wrong = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise CheckpointError(name, [f"{key}: expected a tensor" for key in wrong])
    return {str(key): value for key, value in content.items()}


def _without_common_prefix(state: State) -> State:
    """Return a Lightning module's state without the attribute name its network has there."""
    firsts = {key.split(".", 1)[0] for key in state if "." in key}
    if (
        len(firsts) == 1
        and all("." in key for key in state)
        and firsts <= {"model", "net", "network"}
    ):
        return {key.split(".", 1)[1]: value for key, value in state.items()}
    return state
