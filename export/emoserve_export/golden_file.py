"""The file a golden request lies in: named arrays in groups, always the same bytes."""

import io
from collections.abc import Mapping

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.declaration import Arrays

FILE = "golden.npz"
PIPELINES = ("face", "speech", "text", "emotion", "video")


def packed(groups: Mapping[str, Mapping[str, Array]]) -> bytes:
    """Return the file: `<group>/<name>` -> array."""
    file = io.BytesIO()
    arrays = {f"{g}/{name}": array for g, named in groups.items() for name, array in named.items()}
    np.savez_compressed(file, **arrays)  # numpy gives every member the same date
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Arrays]:
    """Return the groups of a golden file: group -> name -> array."""
    groups: dict[str, Arrays] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        for key in file.files:
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = file[key]
    return groups
