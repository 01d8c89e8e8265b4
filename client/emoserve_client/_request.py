"""One inference, apart from any protocol: what is asked of which model, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emoserve_client._message import Buffer
from emoserve_client._tensors import Array, datatype, encode
from emoserve_client.errors import InputError, WrongAnswerError

Parameter = bool | int | float | str
_RESERVED = {
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "priority",
    "timeout",
    "headers",
    "binary_data_output",
    "binary_data_size",
}


@dataclass(frozen=True)
class Region:
    """A stretch of registered shared memory where a tensor lies."""

    name: str
    size_bytes: int
    offset: int = 0


@dataclass(frozen=True)
class Tensor:
    """One input, as it goes out: its bytes, or where they lie in shared memory."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: tuple[Buffer, ...] | Region = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """The size of the tensor's raw bytes, wherever they lie."""
        if isinstance(self.content, Region):
            return self.content.size_bytes
        return sum(len(piece) for piece in self.content)

    @staticmethod
    def of(name: str, array: Array) -> Tensor:
        """The tensor for a numpy array; str and bytes objects become BYTES."""
        return Tensor(name, datatype(array), tuple(array.shape), encode(array))


@dataclass(frozen=True)
class Request:
    """An inference request; `outputs` empty means all, `timeout_us` 0 means none."""

    model: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    timeout_us: int = 0

    def __post_init__(self) -> None:
        for name in self.parameters:
            if name in _RESERVED or name.startswith("triton_"):
                raise InputError(
                    f"the parameter {name!r} is Triton's own; call it something else",
                    reason="bad_option",
                )


@dataclass(frozen=True)
class Reply:
    """A model's answer: its outputs by name, and the version that gave it."""

    model: str
    version: str
    outputs: Mapping[str, Array]
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        """The output `name`.

        Raises:
            KeyError: it did not come; the message names those that did.
        """
        if name not in self.outputs:
            raise KeyError(f"no output {name!r} came; there are: {', '.join(self.outputs)}")
        return self.outputs[name]

    def text(self, name: str) -> bytes:
        """The single element of the BYTES output `name`.

        Raises:
            WrongAnswerError: it is not there, or has not one element.
        """
        array = self.outputs.get(name)
        if array is None or array.size != 1 or not isinstance(array.reshape(-1)[0], bytes):
            raise WrongAnswerError(f"the answer of {self.model} has no single BYTES {name!r}")
        element: bytes = array.reshape(-1)[0]
        return element
