"""INT8 where it does no harm: the nodes that hurt most keep float32.

The heads, the last nodes before the classes, always do: they cost next to nothing, and nothing
after them evens out what they round. When a network leaves the budget all the same, each node with
weights is quantised alone (in a large network each group of neighbours, a layer or so); the ones
whose quantisation moves the classes most are then left out, as few of them as make the network
agree with float32 on the calibration items.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export.conversion import Converted
from emoserve_export.declaration import Arrays, Precision
from emoserve_export.precision import Quantiser
from emoserve_export.samples import Samples, batches
from emoserve_export.sessions import Variant, open_session

RANKED_ON = 128  # calibration items
RANGED_ON = 8  # for the ranking alone
LEAST_PROBABILITY = 1e-6
JUDGED_ON = 2048
CONFIDENT = 1.645  # standard errors: 95 of 100 that agree so far keep the budget on other items
MOST_GROUPS = 40
QUANTISED_BYTES = 4e9  # at most, for the ranking: a network of 400 MB has 10 groups


def int8(
    converted: Converted,
    precision: Precision,
    samples: Samples | None,
    progress: Callable[[str], None] = lambda state: None,
    kept: Sequence[str] | None = None,
) -> Variant:
    """Return the INT8 graph with the fewest float32 nodes that agrees on the calibration items.

    Where it is known which nodes stay in float32 (`kept`), nothing is tried. Without samples all
    but the heads is quantised: there is nothing to judge by. Where no choice of nodes helps, the
    last one is returned; the gate refuses it.

    Raises:
        UnavailableError: `int8_static` without samples.
    """
    calibration = samples.calibration if samples else None
    with Quantiser(converted.network, converted.model, precision, calibration) as quantiser:
        heads = quantiser.heads
        found = quantiser.quantised(heads if kept is None else kept)
        if calibration is None or kept is not None:
            return found
        judge = _Judge(converted, calibration)
        if judge.agrees(found):
            return found
        inner = [name for name in quantiser.nodes if name not in heads]
        order = _ranked(quantiser, judge, _groups(inner, converted), progress)

        def without(count: int) -> Variant:
            kept = [*heads, *(name for group in order[:count] for name in group)]
            progress(f"{precision}: {len(kept)} of {len(quantiser.nodes)} nodes stay in float32")
            return quantiser.quantised(kept)

        return _fewest(without, judge, len(order) // 2)


def _groups(nodes: Sequence[str], converted: Converted) -> list[list[str]]:
    """Return neighbours together, each alone where there is time for it."""
    most = min(MOST_GROUPS, max(2, int(QUANTISED_BYTES / converted.model.ByteSize())))
    size = -(-len(nodes) // most)
    return [list(nodes[start : start + size]) for start in range(0, len(nodes), size)]


def _fewest(without: Callable[[int], Variant], judge: "_Judge", most: int) -> Variant:
    """Return the first that agrees, looking at 1, 2, 4 ... groups and then in between."""
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


def wanted(budget: float, items: int) -> float:
    """Return the agreement on so many items that lets expect the budget's on others.

    Half of what the budget allows to differ, or more where there are enough items to tell.
    """
    error = math.sqrt(budget * (1 - budget) / items)
    return min((1 + budget) / 2, budget + CONFIDENT * error)


def divergence(wanted: Array, answer: Array) -> float:
    """Return the sum of the Kullback-Leibler divergences of answers, in nats.

    In its form for what need not sum to one, as labels that may hold together do not.
    """
    expected = np.maximum(wanted, LEAST_PROBABILITY)
    found = np.maximum(answer, LEAST_PROBABILITY)
    return float(np.sum(expected * np.log(expected / found) - expected + found))


def change(wanted: Array, answer: Array) -> float:
    """Return the length of the difference, relative to what was wanted."""
    return float(np.linalg.norm(answer - wanted)) / max(float(np.linalg.norm(wanted)), 1e-12)


class _Judge:
    """Compares a graph with the float32 one on the calibration items."""

    def __init__(self, converted: Converted, calibration: Arrays) -> None:
        judged = {name: array[:JUDGED_ON] for name, array in calibration.items()}
        self._wanted = wanted(converted.network.budget.agreement, len(next(iter(judged.values()))))
        self._labelled = tuple(converted.network.labels)
        self._pieces = batches(judged, 32)
        few = {name: array[:RANKED_ON] for name, array in calibration.items()}
        self._few = batches(few, 32)
        session = open_session(converted.model)
        self._reference = [session.run(inputs) for inputs in self._pieces]
        self._reference_few = [session.run(inputs) for inputs in self._few]

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
        """Return how far a few answers move, the sum over them.

        Of classes the Kullback-Leibler divergence from float32's probabilities, which grows
        steadily where the strongest class changes by chance; of other outputs, where a network has
        no classes, the relative change.
        """
        how_far = divergence if self._labelled else change
        session = variant.open()
        pairs = zip(self._reference_few, map(session.run, self._few), strict=True)
        return sum(
            how_far(wanted[name], answer[name])
            for wanted, answer in pairs
            for name in self._labelled or wanted
        )


def _ranked(
    quantiser: Quantiser,
    judge: _Judge,
    groups: Sequence[list[str]],
    progress: Callable[[str], None],
) -> list[list[str]]:
    """Return the groups, the one whose quantisation alone does most harm first."""
    harms = []
    for index, group in enumerate(groups, 1):
        progress(f"how much each node hurts: {index} of {len(groups)}")
        others = [name for name in quantiser.nodes if name not in group]
        harms.append(judge.harm(quantiser.quantised(others, RANGED_ON)))
    return [groups[index] for index in np.argsort(harms)[::-1]]
