"""What can be wrong with a request, as the caller can act on it.

PipelineError
├── InputError        your input is wrong: says what was found and what is accepted
└── CallerGoneError   nobody waits for the answer any more
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias, TypeVar

Item = TypeVar("Item")

Cancelled: TypeAlias = Callable[[], bool]  # tells whether the caller has gone

Reason: TypeAlias = Literal[
    "empty",
    "too_large",
    "too_long",
    "too_short",
    "undecodable",
    "unsupported",
    "not_utf8",
    "nothing_given",
    "nothing_to_analyze",
    "bad_option",
    "timeout",
]


class PipelineError(Exception):
    """Base of all errors that a pipeline raises on purpose."""


class InputError(PipelineError):
    """The caller's input cannot be used.

    Attributes:
        reason: one of a fixed set of slugs, for programs (and for the metric's label).
        message: one sentence for people: what was found, what is accepted.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"[{reason}] {message}")
        self.reason: Reason = reason
        self.message = message


class CallerGoneError(PipelineError):
    """The caller cancelled or disconnected: the work has been stopped."""

    def __init__(self) -> None:
        super().__init__("the caller has gone")


def never() -> bool:
    """Tell that the caller has not gone: for callers who cannot."""
    return False


def while_wanted(items: Iterable[Item], cancelled: Cancelled) -> Iterator[Item]:
    """Yield the items as long as somebody waits for what is made of them.

    Raises:
        CallerGoneError: `cancelled()` is true.
    """
    for item in items:
        if cancelled():
            raise CallerGoneError
        yield item
