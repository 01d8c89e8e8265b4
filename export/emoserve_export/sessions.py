"""Graphs as the export runs them: on the CPU, in the runtime that would serve them."""

from dataclasses import dataclass

from onnx import ModelProto

from emoserve_ensemble.runtimes import Runtime, Session, open_graph


@dataclass(frozen=True)
class Variant:
    """A graph, what runs it, and the nodes that stayed in float32 (or OpenVINO's bf16)."""

    model: ModelProto
    excluded: tuple[str, ...] = ()
    runtime: Runtime = Runtime()  # noqa: RUF009  frozen

    def open(self, threads: int = 2) -> Session:
        """Return its session with `threads` threads."""
        return open_session(self.model, threads, self.runtime)


def open_session(
    model: ModelProto | bytes, threads: int = 2, runtime: Runtime | None = None
) -> Session:
    """Return a graph's session with `threads` threads that do not spin."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return open_graph(data, runtime or Runtime(), threads)
