"""Names for the array types that pass between functions."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Tensor: TypeAlias = npt.NDArray[Any]


def parts(values: Floats, lengths: Sequence[int]) -> list[Floats]:
    """Return consecutive pieces of [n, ...] with these lengths, which add up to n."""
    ends = np.cumsum([0, *lengths])
    return [values[begin:end] for begin, end in pairwise(ends)]
