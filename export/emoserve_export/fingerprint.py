"""Is a network up to date? One hash over all that its exported bytes depend on."""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emoserve_export.declaration import Network

TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "safetensors")
CONVERSION = (
    *("declaration.py", "gelu.py", "graph.py", "graph_files.py", "parity.py", "precision.py"),
    *("row_scales.py", "weights", "networks"),
)
JUDGING = ("budget", "evaluation")  # decide what is published, not how its bytes are made


def tool_versions() -> dict[str, str]:
    """Return the versions of the tools that make a graph."""
    return {name: _version(name) for name in TOOLS}


def _version(name: str) -> str:
    """Return an installed version; ONNX Runtime's build for GPUs is another distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{name}-gpu")


def fingerprint(network: Network, **choices: str) -> str:
    """Return a SHA-256 over declaration, checkpoints, conversion code, tools and choices."""
    facts = {
        "declaration": {k: v for k, v in _plain(network).items() if k not in JUDGING},
        "checkpoints": [source.identity() for source in network.checkpoint],
        "tools": tool_versions(),
        "code": _code(Path(__file__).parent),
        "choices": choices,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _code(package: Path) -> dict[str, str]:
    files: list[Path] = []
    for name in CONVERSION:
        path = package / name
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return {
        str(file.relative_to(package)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if callable(value):
        return _function(value)
    return value


def _function(function: Callable[..., Any]) -> str:
    """Return the hash of the file a function is defined in: its own text is not all it calls."""
    spec = importlib.util.find_spec(function.__module__) if function.__module__ else None
    code = getattr(function, "__code__", None)
    origin = code.co_filename if code is not None else spec.origin if spec else None
    if origin is None or not Path(origin).is_file():
        return repr(function)
    return hashlib.sha256(Path(origin).read_bytes()).hexdigest()
