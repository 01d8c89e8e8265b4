"""INT8 where it does no harm: the nodes that hurt most keep float32.

When a network in INT8 leaves the budget, each node with weights is quantised alone; the ones whose
quantisation moves the outputs most are then left out, one, two, four ... of them, until the network
agrees with float32 on the calibration items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from emoserve_export.conversion import Converted
from emoserve_export.declaration import Arrays, Precision
from emoserve_export.precision import Quantiser
from emoserve_export.samples import Samples, batches
from emoserve_export.sessions import open_session, run_session

RANKED_ON = 16  # calibration items
MOST_NODES = 60  # larger networks are ranked by every n-th node


@dataclass(frozen=True)
class Int8:
    """A graph in INT8 and the nodes that stayed in float32."""

    model: ModelProto
    excluded: tuple[str, ...] = ()


def int8(
    converted: Converted,
    precision: Precision,
    samples: Samples | None,
    progress: Callable[[str], None] = lambda state: None,
) -> Int8:
    """Return the INT8 graph with the fewest float32 nodes that agrees on the calibration items.

    Without samples everything is quantised: there is nothing to judge by. Where no choice of nodes
    helps, the last one is returned; the gate refuses it.

    Raises:
        UnavailableError: `int8_static` without samples.
    """
    calibration = samples.calibration if samples else None
    with Quantiser(converted.network, converted.model, precision, calibration) as quantiser:
        found = Int8(quantiser.quantised())
        if calibration is None:
            return found
        judge = _Judge(converted, calibration)
        wanted = (1 + converted.network.budget.agreement) / 2  # a margin: other items will come
        order: list[str] = []
        count = 1
        while judge.agreement(found.model) < wanted and count <= len(quantiser.nodes) // 2:
            order = order or _ranked(quantiser, judge, progress)
            progress(f"{precision}: {count} of {len(quantiser.nodes)} nodes stay in float32")
            found = Int8(quantiser.quantised(order[:count]), tuple(order[:count]))
            count *= 2
    return found


class _Judge:
    """Compares a graph with the float32 one on the calibration items."""

    def __init__(self, converted: Converted, calibration: Arrays) -> None:
        self._labelled = tuple(converted.network.labels)
        self._pieces = batches(calibration, 32)
        self._few = {name: array[:RANKED_ON] for name, array in calibration.items()}
        session = open_session(converted.model)
        self._reference = [run_session(session, inputs) for inputs in self._pieces]
        self._reference_few = run_session(session, self._few)

    def agreement(self, model: ModelProto) -> float:
        """Return the least share of items, over labelled outputs, with the same strongest class."""
        session = open_session(model)
        answers = [run_session(session, inputs) for inputs in self._pieces]
        shares = [
            np.concatenate(
                [
                    a[name].argmax(-1).ravel() == b[name].argmax(-1).ravel()
                    for a, b in zip(self._reference, answers, strict=True)
                ]
            ).mean()
            for name in self._labelled
        ]
        return float(min(shares, default=1.0))

    def harm(self, model: ModelProto) -> float:
        """Return the largest relative change of an output on a few items."""
        answer = run_session(open_session(model), self._few)
        return max(
            float(np.linalg.norm(answer[name] - value)) / max(float(np.linalg.norm(value)), 1e-12)
            for name, value in self._reference_few.items()
        )


def _ranked(quantiser: Quantiser, judge: _Judge, progress: Callable[[str], None]) -> list[str]:
    """Return the nodes, the one whose quantisation alone does most harm first."""
    nodes = quantiser.nodes
    step = -(-len(nodes) // MOST_NODES)
    harms: dict[str, float] = {}
    for index, name in enumerate(nodes[::step], 1):
        progress(f"how much each node hurts: {index} of {len(nodes[::step])}")
        alone = quantiser.quantised(_others(nodes, name), RANKED_ON)
        harms[name] = judge.harm(alone)
    return sorted(harms, key=lambda name: -harms[name])


def _others(nodes: Sequence[str], name: str) -> list[str]:
    return [other for other in nodes if other != name]
