"""What can stop a benchmark.

BenchError
├── AnswersDifferError  a server answers otherwise than the limit: its speed means nothing
├── DataError           there is nothing to send
├── GeneratorError      h2load is missing or failed
├── InstallError        a peer's environment cannot be made
└── ServerFailedError   a server did not start, or stopped answering
"""


class BenchError(Exception):
    """Base of all; the message says what to do or where to look."""


class AnswersDifferError(BenchError):
    """A server answers otherwise than the limit; says by how much."""


class DataError(BenchError):
    """A file that requests are made of is missing."""


class GeneratorError(BenchError):
    """The generator is missing or failed."""


class InstallError(BenchError):
    """pip failed; holds its last words."""


class ServerFailedError(BenchError):
    """A server did not start or answer; says where its log is."""
