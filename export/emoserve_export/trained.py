"""The trained networks behind the pipelines' seam: PyTorch answers where ONNX would."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emoserve_ensemble.networks import Question, Tensors
from emoserve_ensemble.runtimes import Session
from emoserve_export import graph
from emoserve_export.conversion import build_module
from emoserve_export.declaration import Network
from emoserve_export.sessions import open_session

if TYPE_CHECKING:
    from torch import nn


class TrainedNetworks:
    """An `emoserve_ensemble.networks.Networks` whose answers are the trained networks' own.

    A pipeline run over it gives the answer that the served pipeline must give. A network whose
    checkpoint is an ONNX file answers through ONNX Runtime.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._declared = {network.name: network for network in networks}
        self._modules: dict[str, nn.Module] = {}
        self._sessions: dict[str, Session] = {}

    @property
    def versions(self) -> Mapping[str, str]:
        return {}

    def labels(self, network: str, output: str) -> list[str]:
        return list(self._declared[network].labels[output].names)

    def unpadded(self, network: str) -> bool:
        return False

    def ask_all(self, questions: Sequence[Question]) -> list[Tensors]:
        return [self._ask(question) for question in questions]

    def _ask(self, question: Question) -> Tensors:
        name, inputs = question.network, dict(question.inputs)
        network = self._declared[name]
        if network.build is None:
            if name not in self._sessions:
                model = graph.read_graph(network, network.checkpoint[0].read())
                self._sessions[name] = open_session(model)
            return self._sessions[name].run(inputs)
        if name not in self._modules:
            self._modules[name] = build_module(network)
        return graph.run_module(network, self._modules[name], inputs)
