"""ONNX graphs as files of a version's folder: large ones have their weights in a second file.

ONNX Runtime maps that file instead of copying it: processes share its pages, and rows of a table
of words that nobody asks for are never read (docs/decisions.md 22).
"""

import tempfile
from pathlib import Path
from typing import Final

from emoserve_ensemble.runtimes import GRAPH

WEIGHTS: Final = f"{GRAPH}.data"
LARGE_BYTES: Final = 2**24


def graph_files(graph: bytes) -> dict[str, bytes]:
    """Return the files that hold a serialized graph: one, or two of a large one."""
    if len(graph) < LARGE_BYTES:
        return {GRAPH: graph}
    import onnx  # not where engines are built

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / GRAPH
        onnx.save_model(
            onnx.load_model_from_string(graph), path, save_as_external_data=True, location=WEIGHTS
        )
        return {name: path.with_name(name).read_bytes() for name in (GRAPH, WEIGHTS)}


def content(folder: Path) -> bytes:
    """Return all bytes of the graph in a version's folder, to tell it from others."""
    files = [folder / name for name in (GRAPH, WEIGHTS)]
    return b"".join(file.read_bytes() for file in files if file.is_file())
