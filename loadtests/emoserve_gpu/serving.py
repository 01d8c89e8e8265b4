"""The served side: a repository of the profile gpu, ONNX Runtime's CUDA or torch, a real Triton."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import torch
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_gpu.sampling import Gpu
from emoserve_gpu.works import NETWORKS

CUDA = "CUDAExecutionProvider"
_ADAPTER = "from emoserve_gpu.torch_step import TritonPythonModel  # noqa: F401\n"


class ExportFailedError(Exception):
    """`emoserve export` refused; its own words are above."""


@dataclass(frozen=True)
class Machine:
    """What this run measures on."""

    gpu: str
    torch: str
    onnxruntime: str
    cuda_in_torch: bool
    cuda_in_onnxruntime: bool
    python: str

    @property
    def device(self) -> str:
        """torch's name of the device that plain torch runs on."""
        return "cuda" if self.cuda_in_torch else "cpu"

    @property
    def backend(self) -> str:
        """What answers for the networks when nobody chose: torch only where it alone has CUDA."""
        return "torch" if self.cuda_in_torch and not self.cuda_in_onnxruntime else "onnxruntime"


def machine() -> Machine:
    """Return what is here, each CUDA tried rather than believed."""
    return Machine(
        gpu=Gpu().name,
        torch=torch.__version__,
        onnxruntime=ort.__version__,
        cuda_in_torch=torch.cuda.is_available(),
        cuda_in_onnxruntime=_cuda_answers(),
        python=sys.version.split()[0],
    )


def _cuda_answers() -> bool:
    """Whether a session really runs on CUDA: where a library is missing it falls back silently."""
    if CUDA not in ort.get_available_providers() or not torch.cuda.is_available():
        return False
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "abs", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=[CUDA])
    return bool(session.get_providers()[0] == CUDA)


def exported(repository: Path | None, work: Path) -> Path:
    """Return the given repository, else one below `work` with everything by the profile gpu.

    What is up to date there stays.

    Raises:
        ExportFailedError: a network does not answer like the trained one.
    """
    if repository is not None:
        return repository
    repository = work / "model_repository"
    command = [sys.executable, "-m", "emoserve_client.cli", "export"]
    command += ["--repository", str(repository), "--profile", "gpu"]
    repository.mkdir(parents=True, exist_ok=True)
    if subprocess.run(command, check=False).returncode:
        raise ExportFailedError(f"emoserve export --repository {repository} refused")
    return repository


def with_torch(repository: Path, copy: Path) -> Path:
    """Return a copy of a repository whose measured networks are torch modules."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("manifest.json", ".*"))
    for name in NETWORKS:
        path = copy / name / "config.pbtxt"
        config = text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
        config.backend = "python"
        config.ClearField("default_model_filename")
        path.write_text(text_format.MessageToString(config), encoding="utf-8")
        for version in (one for one in (copy / name).iterdir() if one.name.isdigit()):
            (version / "model.py").write_text(_ADAPTER, encoding="utf-8")
    return copy


def needed(models: Sequence[str]) -> tuple[str, ...]:
    """Return the models to load for these: networks stand alone, a pipeline wants them all."""
    return tuple(models) if all(name in NETWORKS for name in models) else ()
