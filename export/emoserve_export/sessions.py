"""ONNX Runtime on the CPU, as the export measures with it."""

import onnxruntime as ort
from onnx import ModelProto

from emoserve_export.declaration import Arrays


def open_session(model: ModelProto | bytes, threads: int = 2) -> ort.InferenceSession:
    """Return a session with `threads` intra-op threads that do not spin."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(session: ort.InferenceSession, inputs: Arrays) -> Arrays:
    """Return a session's outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
