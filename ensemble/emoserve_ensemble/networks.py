"""The seam between a pipeline and the networks it asks (DESIGN.md, decision 6).

A pipeline is a function over numpy arrays that asks a `Networks` object. Two implementations:
`LocalNetworks` here runs them inside the Python step (fewest hops, best on a CPU);
`ServedNetworks` in `served.py` asks Triton's models (batched across callers, best on a GPU).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.labels import labels_of
from emoserve_ensemble.runtimes import open_network, read_runtime

Tensors: TypeAlias = dict[str, Tensor]

MAX_BATCH = 64  # the `max_batch_size` of every network's generated config
CACHED_VALUES = 2**16  # of an input: the maps of more do not fit a core's cache (decision 16)
LEAST_COSINE = 0.95  # of a golden answer in fewer bits: INT8 gives 0.998 on real sound, 0.978 there
UNBATCHED = frozenset({"voice_net"})  # recurrent: its first axis is time


@dataclass(frozen=True)
class Question:
    """One network and its inputs; the first axis of each input is the batch."""

    network: str
    inputs: Mapping[str, Tensor]


class Networks(Protocol):
    """Answers questions to networks."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Version of each network, by name."""
        ...

    def labels(self, network: str, output: str) -> list[str]:
        """Return the labels of one output, in the network's own order."""
        ...

    def unpadded(self, network: str) -> bool:
        """Tell whether padding costs a network nothing."""
        ...

    def ask_all(self, questions: Sequence[Question]) -> list[Tensors]:
        """Return the answers in the order of the questions, which may run at the same time."""
        ...


def ask(networks: Networks, network: str, **inputs: Tensor) -> Tensors:
    """Return one network's outputs for a batch of any length, in pieces of at most `MAX_BATCH`."""
    return ask_many(networks, [Question(network, inputs)])[0]


def ask_many(networks: Networks, questions: Sequence[Question]) -> list[Tensors]:
    """Return the outputs for several questions, each in pieces of at most `MAX_BATCH`."""
    pieces = [
        (index, piece)
        for index, question in enumerate(questions)
        for piece in _pieces(question, MAX_BATCH)
    ]
    answers = networks.ask_all([piece for _, piece in pieces])
    joined: list[list[Tensors]] = [[] for _ in questions]
    for (index, _), answer in zip(pieces, answers, strict=True):
        joined[index].append(answer)
    return [_join(parts) for parts in joined]


def _pieces(question: Question, most: int) -> Sequence[Question]:
    size = len(next(iter(question.inputs.values())))
    if question.network in UNBATCHED or size <= most:
        return [question]
    return [
        Question(
            question.network,
            {name: value[start : start + most] for name, value in question.inputs.items()},
        )
        for start in range(0, size, most)
    ]


def _join(parts: Sequence[Tensors]) -> Tensors:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def newest_version(model: Path, file: str = "model.onnx") -> Path:
    """Return the folder of a model's highest version that holds a file (a glob).

    Raises:
        FileNotFoundError: there is none; says which command makes it.
    """
    versions = [path.parent for path in model.glob(f"*/{file}") if path.parent.name.isdigit()]
    if not versions:
        raise FileNotFoundError(f"{model} has no version with a {file}: run `emoserve export`")
    return max(versions, key=lambda path: int(path.name))


class LocalNetworks:
    """Runs networks of a model repository in this process, each in the runtime its folder names.

    Args:
        repository: folder with one folder per model.
        names: the networks to load now; asking any other is a `KeyError`.
        threads: of each network. Instances x threads = cores serves best.
    """

    def __init__(self, repository: Path, names: Iterable[str], threads: int = 1) -> None:
        self._repository = repository
        folders = {name: newest_version(repository / name) for name in names}
        self._versions = {name: folder.name for name, folder in folders.items()}
        self._sessions = {name: open_network(folder, threads) for name, folder in folders.items()}
        self._runtimes = {name: read_runtime(folder) for name, folder in folders.items()}
        self._labels = {name: labels_of(repository / name) for name in self._versions}

    @property
    def versions(self) -> Mapping[str, str]:
        return self._versions

    def labels(self, network: str, output: str) -> list[str]:
        return self._labels[network][output]

    def unpadded(self, network: str) -> bool:
        return self._runtimes[network].unpadded

    def ask_all(self, questions: Sequence[Question]) -> list[Tensors]:
        return [self._ask(question) for question in questions]

    def check(self) -> None:
        """Ask every network its golden request, where the export stored one.

        Raises:
            ValueError: an answer differs from the one stored at export; names the network.
        """
        for name, version in self._versions.items():
            path = self._repository / name / version / "golden.npz"
            if path.is_file():
                self._check(name, path)

    def _check(self, name: str, path: Path) -> None:
        with np.load(path, allow_pickle=False) as golden:
            stored = {key: golden[key] for key in golden.files}
        inputs = {key[3:]: value for key, value in stored.items() if key.startswith("in/")}
        answer = self._ask(Question(name, inputs))
        for output, value in answer.items():
            wanted = stored.get(f"graph/{output}")
            if wanted is not None and not alike(value, wanted, self._runtimes[name].exact):
                worst = float(np.abs(value - wanted).max())
                raise ValueError(
                    f"{name}: output {output} differs by {worst:.3g} from its golden answer; "
                    "run `emoserve export --force`"
                )

    def _ask(self, question: Question) -> Tensors:
        first = next(iter(question.inputs.values()))
        fitting = max(1, CACHED_VALUES * len(first) // max(1, first.size))
        run = self._sessions[question.network].run
        return _join([run(piece.inputs) for piece in _pieces(question, fitting)])


def alike(value: Tensor, wanted: Tensor, exact: bool) -> bool:
    """Tell whether an answer is the golden one; others than ONNX Runtime come near."""
    if exact:
        return np.allclose(value, wanted, rtol=1e-2, atol=1e-2)
    lengths = float(np.linalg.norm(value) * np.linalg.norm(wanted))
    return bool(np.vdot(value, wanted) >= LEAST_COSINE * lengths)
