"""What can be wrong with a request, as the caller can act on it.

PipelineError
└── InputError        your input is wrong: says what was found and what is accepted
"""

from typing import Literal, TypeAlias

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
