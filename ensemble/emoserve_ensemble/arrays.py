"""Names for the array types that pass between functions."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Tensor: TypeAlias = npt.NDArray[Any]
