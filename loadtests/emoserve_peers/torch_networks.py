"""The trained PyTorch modules behind the pipelines' seam, set up for serving on the CPU."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from emoserve_ensemble.labels import labels_of
from emoserve_ensemble.networks import LocalNetworks, Question, Tensors
from emoserve_export.catalogue import CATALOGUE
from emoserve_export.conversion import build_module
from emoserve_export.graph import run_module

_DECLARED = {network.name: network for network in CATALOGUE}


class TorchNetworks:
    """Answers with PyTorch modules of the very checkpoints that the ONNX files were made from.

    `voice_net` exists as ONNX only, so ONNX Runtime answers for it here too. One intra-op thread,
    as a worker per core serves; inference mode.
    """

    def __init__(self, repository: Path, names: Iterable[str]) -> None:
        torch.set_num_threads(1)
        self._versions = dict.fromkeys(names, "1")
        self._labels = {name: labels_of(repository / name) for name in self._versions}
        trained = [name for name in self._versions if _DECLARED[name].build is not None]
        self._modules = {name: build_module(_DECLARED[name]) for name in trained}
        for name in trained:
            if prepare := _DECLARED[name].prepare:
                getattr(self._modules[name], prepare)()
        self._local = LocalNetworks(repository, self._versions.keys() - self._modules.keys())

    @property
    def versions(self) -> Mapping[str, str]:
        return self._versions

    def labels(self, network: str, output: str) -> list[str]:
        return self._labels[network][output]

    def unpadded(self, network: str) -> bool:
        return False

    def ask_all(self, questions: Sequence[Question]) -> list[Tensors]:
        return [self._ask(question) for question in questions]

    def _ask(self, question: Question) -> Tensors:
        name = question.network
        if name not in self._modules:
            return self._local.ask_all([question])[0]
        return run_module(_DECLARED[name], self._modules[name], dict(question.inputs))
