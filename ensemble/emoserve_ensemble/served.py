"""The `Networks` seam over Triton: each question is a BLS call to a `*_net` model.

Calls of one round run at the same time and join the dynamic batches of other callers.
Importable only inside Triton's Python backend.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from emoserve_ensemble.labels import labels_of
from emoserve_ensemble.networks import Question, Tensors, newest_version
from emoserve_ensemble.runtimes import read_runtime


class ServedNetworks:
    """Asks the models that the same Triton serves.

    Args:
        repository: the model repository, read for versions and labels.
        outputs: the output names of each network that is asked.
    """

    def __init__(self, repository: Path, outputs: Mapping[str, Iterable[str]]) -> None:
        self._outputs = {name: list(wanted) for name, wanted in outputs.items()}
        folders = {name: newest_version(repository / name, "model.*") for name in self._outputs}
        self._versions = {name: folder.name for name, folder in folders.items()}
        self._unpadded = {name: read_runtime(folder).unpadded for name, folder in folders.items()}
        self._labels = {name: labels_of(repository / name) for name in self._outputs}
        self._loop = asyncio.new_event_loop()

    @property
    def versions(self) -> Mapping[str, str]:
        return self._versions

    def labels(self, network: str, output: str) -> list[str]:
        return self._labels[network][output]

    def unpadded(self, network: str) -> bool:
        return self._unpadded[network]

    def ask_all(self, questions: Sequence[Question]) -> list[Tensors]:
        return self._loop.run_until_complete(self._gathered(questions))

    def close(self) -> None:
        self._loop.close()

    async def _gathered(self, questions: Sequence[Question]) -> list[Tensors]:
        responses = await asyncio.gather(*(self._sent(question) for question in questions))
        return [
            self._tensors(question.network, response)
            for question, response in zip(questions, responses, strict=True)
        ]

    async def _sent(self, question: Question) -> Any:
        request = pb_utils.InferenceRequest(
            model_name=question.network,
            requested_output_names=self._outputs[question.network],
            inputs=[pb_utils.Tensor(name, value) for name, value in question.inputs.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
        )
        return await request.async_exec()

    def _tensors(self, network: str, response: Any) -> Tensors:
        if response.has_error():
            raise RuntimeError(f"{network}: {response.error().message()}")
        return {
            name: pb_utils.get_output_tensor_by_name(response, name).as_numpy()
            for name in self._outputs[network]
        }
