"""INT8 where it does no harm: the nodes that hurt most keep float32.

When a network in INT8 leaves the budget, each node with weights is quantised alone; the ones whose
quantisation moves the outputs most are then left out, as few of them as make the network agree with
float32 on the calibration items.
"""

from collections.abc import Callable, Sequence

import numpy as np

from emoserve_export.conversion import Converted
from emoserve_export.declaration import Arrays, Precision
from emoserve_export.precision import Quantiser
from emoserve_export.samples import Samples, batches
from emoserve_export.sessions import Variant, open_session

RANKED_ON = 8  # calibration items
JUDGED_ON = 768
MOST_NODES = 40  # larger networks are ranked by every n-th node


def int8(
    converted: Converted,
    precision: Precision,
    samples: Samples | None,
    progress: Callable[[str], None] = lambda state: None,
) -> Variant:
    """Return the INT8 graph with the fewest float32 nodes that agrees on the calibration items.

    Without samples everything is quantised: there is nothing to judge by. Where no choice of nodes
    helps, the last one is returned; the gate refuses it.

    Raises:
        UnavailableError: `int8_static` without samples.
    """
    calibration = samples.calibration if samples else None
    with Quantiser(converted.network, converted.model, precision, calibration) as quantiser:
        found = quantiser.quantised()
        if calibration is None:
            return found
        judge = _Judge(converted, calibration)
        if judge.agrees(found):
            return found
        order = _ranked(quantiser, judge, progress)

        def without(count: int) -> Variant:
            progress(f"{precision}: {count} of {len(quantiser.nodes)} nodes stay in float32")
            return quantiser.quantised(order[:count])

        return _fewest(without, judge, len(quantiser.nodes) // 2)


def _fewest(without: Callable[[int], Variant], judge: "_Judge", most: int) -> Variant:
    """Return the first that agrees, looking at 1, 2, 4 ... nodes and then in between."""
    too_few, count = 0, 1
    found = without(count)
    while not judge.agrees(found) and count < most:
        too_few, count = count, min(2 * count, most)
        found = without(count)
    while count - too_few > 1 and judge.agrees(found):
        middle = (too_few + count) // 2
        fewer = without(middle)
        if judge.agrees(fewer):
            found, count = fewer, middle
        else:
            too_few = middle
    return found


class _Judge:
    """Compares a graph with the float32 one on the calibration items."""

    def __init__(self, converted: Converted, calibration: Arrays) -> None:
        # A margin, for other items will come.
        self._wanted = (1 + converted.network.budget.agreement) / 2
        self._labelled = tuple(converted.network.labels)
        self._pieces = batches({n: array[:JUDGED_ON] for n, array in calibration.items()}, 32)
        self._few = {name: array[:RANKED_ON] for name, array in calibration.items()}
        session = open_session(converted.model)
        self._reference = [session.run(inputs) for inputs in self._pieces]
        self._reference_few = session.run(self._few)

    def agrees(self, variant: Variant) -> bool:
        """Return whether enough items have float32's strongest class."""
        return self.agreement(variant) >= self._wanted

    def agreement(self, variant: Variant) -> float:
        """Return the least share of items, over labelled outputs, with the same strongest class."""
        session = variant.open()
        answers = [session.run(inputs) for inputs in self._pieces]
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

    def harm(self, variant: Variant) -> float:
        """Return the largest relative change of an output on a few items."""
        answer = variant.open().run(self._few)
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
