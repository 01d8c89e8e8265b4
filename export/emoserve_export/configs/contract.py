"""The tables of docs/contracts.md, read as data."""

import re
from dataclasses import dataclass
from pathlib import Path

from emoserve_export.errors import RepositoryError

_NAMES = r"((?:`\w+`(?:, | and )?)+)"
_SPEC = re.compile(_NAMES + r" (float32|int64|FP32|INT32|INT64|BYTES) \[([^\]]*)\]")
_NAME = re.compile(r"`([a-z]\w*)`")
TYPES = {
    "float32": "TYPE_FP32",
    "FP32": "TYPE_FP32",
    "int64": "TYPE_INT64",
    "INT64": "TYPE_INT64",
    "INT32": "TYPE_INT32",
    "BYTES": "TYPE_STRING",
}


@dataclass(frozen=True)
class Promised:
    """A tensor that the contract promises; `dims` without the batch axis, -1 where free."""

    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Promise:
    """One model of the contract.

    Attributes:
        inputs, outputs: tensors whose type and axes are given.
        mentioned: every tensor name in the row.
    """

    inputs: dict[str, Promised]
    outputs: dict[str, Promised]
    mentioned: frozenset[str]


def read_contract(path: Path) -> dict[str, Promise]:
    """Return the promises of each model in the document's tables.

    Raises:
        RepositoryError: the file is not there, or it has no table of models.
    """
    if not path.is_file():
        raise RepositoryError(f"no contract at {path}: name it with --contract")
    promises: dict[str, Promise] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 3 and cells[0].startswith("`"):
            promise = Promise(
                _tensors(cells[1]),
                _tensors(cells[2]),
                frozenset(_NAME.findall(" ".join(cells[1:3]))),
            )
            promises.update(dict.fromkeys(_NAME.findall(cells[0]), promise))
    if not promises:
        raise RepositoryError(f"{path} has no table of models")
    return promises


def _tensors(cell: str) -> dict[str, Promised]:
    found: dict[str, Promised] = {}
    for names, dtype, axes in _SPEC.findall(cell):
        own = [axis.strip() for axis in axes.split(",")]
        own = own[1:] if own[0] == "batch" else own
        dims = tuple(int(axis) if axis.isdigit() else -1 for axis in own)
        found.update(dict.fromkeys(_NAME.findall(names), Promised(TYPES[dtype], dims)))
    return found
