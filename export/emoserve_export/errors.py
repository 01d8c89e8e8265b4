"""What can stop an export, and who can act on it.

ExportError
├── DeclarationError   a network's declaration contradicts itself
├── CheckpointError    the weights cannot be used: names the tensor and what was expected
├── GraphError         the exporter or the checker refused the graph
├── ParityError        the result does not answer like the trained network; `.rows` has the table
├── RepositoryError    the model repository is not in the state that is needed
└── UnavailableError   something that is needed is not installed here; says how to get it
"""

from collections.abc import Sequence
from typing import Any


class ExportError(Exception):
    """Base of all errors that the export raises on purpose."""


class DeclarationError(ExportError):
    """A declaration contradicts itself or the contract."""


class CheckpointError(ExportError):
    """A checkpoint cannot be used.

    Attributes:
        problems: one sentence for each tensor or fact that is wrong.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        shown = list(problems[:12])
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more")
        super().__init__(f"{source}: " + "\n  ".join(["refused:", *shown]))
        self.problems = tuple(problems)


class GraphError(ExportError):
    """The ONNX graph could not be made, or is not valid."""


class ParityError(ExportError):
    """An exported network does not answer like the trained one.

    Attributes:
        rows: every comparison that was made, the failed ones among them.
    """

    def __init__(self, message: str, rows: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class RepositoryError(ExportError):
    """The model repository is not in the state that is needed."""


class UnavailableError(ExportError):
    """Something that this command needs is not installed here."""
